# Health checks. Written into the system, so that each generation is judged by its own.
# apps/agent/src/health/check-form.ts reads it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.floe.agent;

  orNull = type: more: mkOption ({
    type = types.nullOr type;
    default = null;
  } // more);

  http = types.submodule {
    options = {
      url = mkOption {
        type = types.strMatching "https?://[^[:space:]/]+[^[:space:]]*";
        example = "http://localhost:8080/health";
        description = "The URL of a GET request, without a proxy. Up to 5 redirects on the same host are followed.";
      };
      statuses = mkOption {
        type = types.listOf (types.ints.between 100 599);
        default = [ ];
        example = [
          200
          401
        ];
        description = "Accepted status codes. None: 200 to 399.";
      };
      body = orNull types.nonEmptyStr {
        example = "\"status\":\"ok\"";
        description = "Text that the first MiB of the answer must contain.";
      };
    };
  };

  tcp = types.submodule {
    options = {
      host = mkOption {
        type = types.nonEmptyStr;
        default = "localhost";
        description = "Name or address.";
      };
      port = mkOption {
        type = types.ints.between 1 65535;
        example = 5432;
        description = "The port that must accept connections.";
      };
    };
  };

  healthCheck = types.submodule {
    options = {
      command = orNull (types.either types.nonEmptyStr (types.addCheck (types.listOf types.str) (list: list != [ ]))) {
        example = lib.literalExpression ''[ "''${pkgs.cups}/bin/lpstat" "-r" ]'';
        description = ''
          Program and arguments, run as root without a shell; or one string, run by a shell. Exit status 0 passes. It runs
          as a unit of its own, and sees the machine as any service does.
        '';
      };
      http = orNull http {
        example = {
          url = "http://localhost:8080/health";
        };
        description = "A web server that must answer.";
      };
      tcp = orNull tcp {
        example = {
          port = 5432;
        };
        description = "A port that must accept connections.";
      };
      unit = orNull (types.strMatching "[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*") {
        example = "nginx.service";
        description = ''
          A systemd unit that must be active, and must not restart during the checks. Units that *fail* are noticed without a
          check; this is for a unit that might not run at all, or crash repeatedly.
        '';
      };
      timeoutSeconds = mkOption {
        type = types.numbers.between 0.1 600;
        default = 10;
        description = "Limit of one try.";
      };
      intervalSeconds = mkOption {
        type = types.numbers.between 0 600;
        default = 1;
        description = "Time between two tries.";
      };
      passes = mkOption {
        type = types.ints.between 1 100;
        default = 3;
        description = "How many tries in a row must pass. A failure starts the count again.";
      };
      graceSeconds = orNull (types.numbers.between 0 3600) {
        example = 120;
        description = "How long the check may fail after the switch, for a service that starts slowly. Null: `healthGraceSeconds`.";
      };
    };
  };

  kinds = [
    "command"
    "http"
    "tcp"
    "unit"
  ];
  kindsOf = check: builtins.filter (kind: check.${kind} != null) kinds;

  # Without null values: the agent's own settings apply instead.
  present = lib.filterAttrs (_: value: value != null);

  written =
    name: check:
    present {
      inherit name;
      kind = builtins.head (kindsOf check ++ [ "none" ]);
      inherit (check)
        timeoutSeconds
        intervalSeconds
        passes
        graceSeconds
        unit
        ;
      command =
        if builtins.isString check.command then
          [
            pkgs.runtimeShell
            "-c"
            check.command
          ]
        else
          check.command;
    }
    // lib.optionalAttrs (check.http != null) (present {
      inherit (check.http) url statuses body;
    })
    // lib.optionalAttrs (check.tcp != null) { inherit (check.tcp) host port; };
in
{
  options.services.floe.agent.healthChecks = mkOption {
    type = types.attrsOf healthCheck;
    default = { };
    example = {
      web.http.url = "http://localhost:8080/health";
      database.tcp.port = 5432;
      proxy.unit = "nginx.service";
      printer = {
        command = "lpstat -r";
        graceSeconds = 120;
      };
    };
    description = ''
      What must work on this machine after a switch; otherwise the agent rolls back. Each check is one of
      `command`, `http`, `tcp` and `unit`. All run at the same time. They are part of the system: each system is judged by its
      own checks.
    '';
  };

  # Short form, for modules that declare a check beside its service.
  options.floe.healthChecks = mkOption {
    type = types.attrsOf types.raw;
    default = { };
    example = {
      web.http.url = "http://localhost:8080/health";
    };
    description = "The same as `services.floe.agent.healthChecks`.";
  };

  config = lib.mkMerge [
    { services.floe.agent.healthChecks = config.floe.healthChecks; }
    (lib.mkIf cfg.enable {
      assertions = lib.mapAttrsToList (name: check: {
        assertion = builtins.length (kindsOf check) == 1;
        message =
          let
            found = kindsOf check;
          in
          "services.floe.agent.healthChecks.${name} has ${
            if found == [ ] then "no kind" else lib.concatStringsSep " and " found
          }: give it exactly one of ${lib.concatStringsSep ", " kinds}";
      }) cfg.healthChecks;

      environment.etc."floe/health-checks.json".text = builtins.toJSON (lib.mapAttrsToList written cfg.healthChecks);
    })
  ];
}
