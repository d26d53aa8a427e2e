# world.sh ROOTFS PROJECT COMMAND...: runs the command as root on a copy of a root file system, in namespaces of its own.
# Started by: unshare --mount --pid --net --ipc --uts --fork. Nothing that happens inside is left afterwards.
set -eu
rootfs=$1 project=$2
shift 2
mount --make-rprivate /
world=$(mktemp -d)
mount -t tmpfs tmpfs "$world"
mkdir "$world/upper" "$world/work" "$world/root"
mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$world/upper,workdir=$world/work" "$world/root"
cd "$world/root"
mkdir -p oldroot run tmp usr/lib/git-core
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir -p "./$project"
mount --rbind "$project" "./$project"
# Debian's own, which the shared root file systems lack.
for program in git bwrap; do
  : >>usr/bin/$program
  mount --bind /usr/bin/$program usr/bin/$program
done
mount --bind /usr/lib/git-core usr/lib/git-core
pivot_root . oldroot
umount -l /oldroot
rmdir "/$world" 2>/dev/null || true
ip link set lo up
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
