# The print server in the hall.
{ config, ... }: {
  environment.etc."role" = "print server\n";

  # Run after every switch; when it fails, the machine goes back to what it ran before.
  floe.healthChecks.role = { command = "test -s \"$NIXOS_ROOT/run/current-system/etc/role\""; timeoutSeconds = 5; };
}
