# Bob's desktop.
{ config, ... }: {
  environment.etc."role" = "desktop\n";
}
