# When this machine may be changed; written into the system, so that each generation brings its own.
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
        description = "Where the clock of `cron` hangs.";
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
      description = "A downloaded system waits for one of these. None: any time will do.";
    };

    minBatteryPercent = mkOption {
      type = types.numbers.between 0 101;
      default = 30;
      description = "On battery with less charge than this it waits. 0: never; 101: whenever it is on battery.";
    };

    metered = mkOption {
      type = types.enum [
        "ignore"
        "wait"
      ];
      default = "ignore";
      description = "Whether a metered connection makes it wait.";
    };

    session = mkOption {
      type = types.enum [
        "ignore"
        "wait-if-session"
        "wait-if-units"
      ];
      default = "wait-if-session";
      description = ''
        What a person at the machine makes wait: nothing; a switch that would end the session (display manager, D-Bus,
        logind); any switch that restarts or stops services. What takes effect only with a restart is made ready for the next
        start while people work, without a restart: when that comes is `reboot`'s to say.
      '';
    };

    idleMinutes = mkOption {
      type = minutes;
      default = 10;
      description = "A session without input for so long counts as idle. A locked one always does.";
    };

    later = {
      maxCount = mkOption {
        type = types.ints.between 0 100;
        default = 3;
        description = ''
          How often a person may say "later" to one system. One that replaces another which was put off goes on counting where
          that was: pushes alone never make it wait for ever.
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
      description = "After waiting for so long it goes ahead, whatever makes it wait. Null: it waits for ever.";
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
          When the machine restarts by itself for a change that takes effect only so (kernel, initrd, kernel parameters): never,
          when nobody uses it, or in one of `windows`. Its people may restart it at any time. `deadlineHours` holds with each.
        '';
      };
      deadlineHours = mkOption {
        type = types.nullOr hours;
        default = null;
        example = 168;
        description = "After waiting for so long it restarts, whatever makes it wait, also with `when = \"never\"`. Null: it waits for ever.";
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
        description = "What is done about a system that somebody switched to by hand: told, put back after `afterMinutes`, or put back at once.";
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

    environment.etc."floe/agent-policy.json".text = builtins.toJSON {
      version = 1;
      inherit (policy)
        windows
        minBatteryPercent
        metered
        session
        idleMinutes
        later
        deadlineHours
        reboot
        drift
        ;
    };
  };
}
