# shellcheck shell=sh disable=SC2154
# A copy-on-write copy of this machine in namespaces of its own, for trying what changes a system. Sourced by the scripts
# beside this. It is below $folder/root, and gone when the shell ends.
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
mount --rbind /dev "$folder/root/dev"
# No init system is seen, and nothing of this machine's temporary files.
mount -t tmpfs tmpfs "$folder/root/run"
mount -t tmpfs tmpfs "$folder/root/tmp"
