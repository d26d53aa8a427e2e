# The builder's login to the database that the server's module makes on this machine. It may do what the server's may, since both migrate
# the tables; what it makes there belongs to the server's role.
{ config, lib, ... }:
let
  cfg = config.services.floe.builder;
in
{
  config = lib.mkIf (cfg.enable && cfg.database.local) {
    systemd.services.floe-builder-database = {
      description = "Floe builder: its login to the database";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      # Not required: a stop of Postgres would end floe-builder, and the start after it would not bring it back. It waits, as the server does.
      wantedBy = [ "floe-builder.service" ];
      requires = [ "postgresql.service" ];
      # The second one, where there is one, makes the server's role.
      after = [
        "postgresql.service"
        "postgresql-setup.service"
      ];
      # Postgres, or the server's role in it, can come later.
      unitConfig.StartLimitIntervalSec = 0;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        Restart = "on-failure";
        RestartSec = 2;
        User = "postgres";
        ExecStart = "${config.services.postgresql.package}/bin/psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres --file=${./login.sql}";
      };
    };
  };
}
