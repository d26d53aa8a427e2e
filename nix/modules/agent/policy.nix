# When this machine may be changed. Written into the system, so that each generation has its own.
# libs/protocol/src/agent-policy.ts is the form of the file.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.floe.agent;
  inherit (cfg) policy;

  hours = types.numbers.between 0 8760;
  minutes = types.numbers.between 0 44640;

  window = types.submodule {
    options = {
      cron = mkOption {
        type = types.nonEmptyStr;
        example = "0 3 * * 1-5";
        description = "When it opens: minute, hour, day of the month, month and day of the week.";
      };
      durationMinutes = mkOption {
        type = types.ints.between 1 10080;
        example = 120;
        description = "How long it stays open.";
      };
      timeZone = mkOption {
        type = types.nonEmptyStr;
        default = if config.time.timeZone == null then "UTC" else config.time.timeZone;
        defaultText = lib.literalExpression ''config.time.timeZone, or "UTC"'';
        example = "Europe/Berlin";
        description = "Time zone of `cron`.";
      };
    };
  };

  # A field of cron: "*", "*/15", "1-5", "1,15", "mon-fri"; what the numbers may be is looked at below.
  fieldForm = "(([*]|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?)(,([*]|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?)*";
  fields = [
    {
      low = 0;
      high = 59;
    }
    {
      low = 0;
      high = 23;
    }
    {
      low = 1;
      high = 31;
    }
    {
      low = 1;
      high = 12;
    }
    {
      low = 0;
      high = 7;
    }
  ];
  words = text: builtins.filter (word: builtins.isString word && word != "") (builtins.split "[[:space:]]+" text);
  # Steps are no times.
  numbers = field: map lib.toIntBase10 (builtins.filter (word: builtins.match "[0-9]{1,4}" word != null) (
    lib.concatMap (part: builtins.filter builtins.isString (builtins.split "-" (builtins.head (builtins.filter builtins.isString (builtins.split "/" part))))) (
      builtins.filter builtins.isString (builtins.split "," field)
    )
  ));
  isField = { low, high }: field: builtins.match fieldForm field != null && lib.all (number: number >= low && number <= high) (numbers field);
  isCron =
    text:
    let
      found = words text;
    in
    builtins.length found == 5 && lib.all (check: check) (lib.zipListsWith isField fields found);

  # Whether the name exists only tzdata knows.
  isTimeZone = name: builtins.match "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}" name != null;
in
{
  options.services.floe.agent.trials.enable = lib.mkOption {
    type = types.bool;
    default = false;
    description = ''
      Whether a release that is signed as a test may run on this machine for some hours (`floe try`), 24 at
      most. The machine then goes back by itself; a restart and `floe-agent rollback` end it, too. Such a release may be older than
      what the machine runs, and of another branch. A system can be tried only if it sets this option as well.
    '';
  };

  options.services.floe.agent.policy = {
    windows = mkOption {
      type = types.listOf window;
      default = [ ];
      example = [
        {
          cron = "0 3 * * *";
          durationMinutes = 120;
          timeZone = "Europe/Berlin";
        }
      ];
      description = "A downloaded system waits for one of these. None: any time is allowed.";
    };

    minBatteryPercent = mkOption {
      type = types.numbers.between 0 101;
      default = 30;
      description = "On battery with less charge than this, a new system waits. 0: never; 101: always while on battery.";
    };

    metered = mkOption {
      type = types.enum [
        "ignore"
        "wait"
      ];
      default = "ignore";
      description = "Whether a new system waits while the connection is metered.";
    };

    session = mkOption {
      type = types.enum [
        "ignore"
        "wait-if-session"
        "wait-if-units"
      ];
      default = "wait-if-session";
      description = ''
        What waits while a user works at the machine: nothing; a switch that would end the session (display manager, D-Bus,
        logind); any switch that restarts or stops services. A system that needs a restart is staged for the next start
        meanwhile; `reboot` decides when that happens.
      '';
    };

    idleMinutes = mkOption {
      type = minutes;
      default = 10;
      description = "A session without input for this long counts as idle. A locked one always does.";
    };

    later = {
      maxCount = mkOption {
        type = types.ints.between 0 100;
        default = 3;
        description = ''
          How often users may defer a system. A newer system that replaces a deferred one inherits its count, so that pushes
          alone cannot defer a change forever.
        '';
      };
      maxMinutes = mkOption {
        type = minutes;
        default = 240;
        description = "How long one \"later\" may be at most.";
      };
    };

    deadlineHours = mkOption {
      type = types.nullOr hours;
      default = 72;
      description = "After this time the new system is activated, whatever it waits for. Null: it waits forever.";
    };

    reboot = {
      when = mkOption {
        type = types.enum [
          "never"
          "idle"
          "window"
        ];
        default = "never";
        description = ''
          When the machine restarts by itself for a change that needs it (kernel, initrd, kernel parameters): never, when no
          user works on it, or in one of `windows`. Users may restart it at any time. `deadlineHours` applies to each.
        '';
      };
      deadlineHours = mkOption {
        type = types.nullOr hours;
        default = null;
        example = 168;
        description = ''
          After this time the machine restarts, whatever it waits for, also with `when = "never"`. Null: it waits forever, also for a
          program of a user that blocks a restart.
        '';
      };
      respectInhibitors = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether a restart waits for programs that block it (`systemd-inhibit --what=shutdown`, such as a backup) beyond
          `deadlineHours`, too. Before the deadline, and without one, it always does. `floe-agent now` and a rollback never wait for them.
        '';
      };
    };

    drift = {
      action = mkOption {
        type = types.enum [
          "observe"
          "correct-later"
          "correct-now"
        ];
        default = "observe";
        description = "What the agent does when a user switched to another system by hand: only report it, correct it after `afterMinutes`, or correct it at once.";
      };
      afterMinutes = mkOption {
        type = minutes;
        default = 60;
        description = "For `correct-later`.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    assertions =
      lib.concatMap (window: [
        {
          assertion = isCron window.cron;
          message = "services.floe.agent.policy.windows: \"${window.cron}\" is no time: give minute, hour, day of the month, month and day of the week, for example \"0 3 * * 1-5\"";
        }
        {
          assertion = isTimeZone window.timeZone;
          message = "services.floe.agent.policy.windows: \"${window.timeZone}\" is no time zone: give a name like \"Europe/Berlin\" or \"UTC\"";
        }
      ]) policy.windows
      ++ [
        {
          assertion = builtins.length policy.windows <= 50;
          message = "services.floe.agent.policy.windows: there are more than 50";
        }
        {
          assertion = policy.reboot.when == "window" -> policy.windows != [ ];
          message = "services.floe.agent.policy.reboot.when is \"window\", but there is none: add one to policy.windows";
        }
      ];

    environment.etc."floe/agent-policy.json".text = builtins.toJSON (
      {
        version = 1;
        inherit (policy)
          windows
          minBatteryPercent
          metered
          session
          idleMinutes
          later
          deadlineHours
          drift
          ;
        # Agents from before an option read this file, too: without it where it is off.
        reboot = {
          inherit (policy.reboot) when deadlineHours;
        }
        // lib.optionalAttrs policy.reboot.respectInhibitors { respectInhibitors = true; };
      }
      // lib.optionalAttrs cfg.trials.enable { trials.enable = true; }
    );
  };
}
