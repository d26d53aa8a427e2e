# floe-server: HTTP, rollouts, and the builder, unless that is a process of its own. Put a proxy with TLS in front of it (docs/operate.md).
{
  imports = [
    ./server/options.nix
    ./server/outside.nix
    ./server/assertions.nix
    ./server/service.nix
  ];
}
