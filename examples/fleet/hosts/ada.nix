# Ada's laptop.
{ config, ... }: {
  environment.etc."role" = "laptop\n";
}
