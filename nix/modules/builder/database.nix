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
      requiredBy = [ "floe-builder.service" ];
      requires = [ "postgresql.service" ];
      # The second one, where there is one, makes the server's role.
      after = [
        "postgresql.service"
        "postgresql-setup.service"
      ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        User = "postgres";
        ExecStart = "${config.services.postgresql.package}/bin/psql --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres --file=${./login.sql}";
      };
    };
  };
}
