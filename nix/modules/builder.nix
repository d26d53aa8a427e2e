# floe-builder: evaluates, builds and signs beside a floe-server without the release key (docs/operate.md, "A builder of its own").
{
  imports = [
    ./builder/options.nix
    ./builder/assertions.nix
    ./builder/service.nix
    ./builder/database.nix
  ];
}
