# What all machines share.
{ config, ... }: {
  system.nixos.label = "26.05";

  environment.etc."issue" = "This machine is kept by Floe.\n";
}
