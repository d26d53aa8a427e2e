# floe-agent, the daemon of every host of a fleet. "floe enrol HOST" prints what to put here; docs/agent-options.md has
# every option.
{
  imports = [
    ./agent/options.nix
    ./agent/health-checks.nix
    ./agent/policy.nix
    ./agent/assertions.nix
    ./agent/identity.nix
    ./agent/metrics.nix
    ./agent/other-masters.nix
    ./agent/service.nix
    ./agent/switch-lock.nix
    ./agent/boot-guard.nix
    ./agent/notifications.nix
  ];
}
