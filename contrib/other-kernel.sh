#!/bin/sh
# Runs a command as root under another kernel than this machine's, in a virtual machine that sees this machine's files and
# keeps what it writes to itself: for what this kernel lacks (VLANs, netem), or to see an older or a newer one.
#
#     apt-get download linux-image-6.12.107+deb12-amd64-unsigned && dpkg -x linux-image-*.deb kernel
#     cargo test -p tidegate --test links --no-run
#     contrib/other-kernel.sh kernel target/debug/deps/links-*[0-9a-f]
#
# The first argument is a directory with `boot/vmlinuz-*` and `lib/modules`, as a Debian package has them. The rest is a line
# for bash. Ends with the command's status. Takes qemu-system-x86_64, a static busybox, cpio, depmod, xz; root is not
# needed. The processor is QEMU's own: slow, and the same everywhere. MEMORY (2G) and CPUS (2) say how large the machine is.
set -eu

if [ $# -lt 2 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
tree=$(realpath "$1")
shift
version=$(ls "$tree/lib/modules")
image=$(ls "$tree"/boot/vmlinuz-*)
if [ "$(printf '%s\n' "$version" "$image" | wc -l)" -ne 2 ]; then
    echo "$0: $tree: not one kernel, but: $version; $image" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

[ -f "$tree/lib/modules/$version/modules.dep" ] || depmod -b "$tree" "$version"

# What mounts the rest: busybox, and the modules for file systems.
mkdir -p "$work/ram/bin" "$work/ram/modules" "$work/status"
cp "$(command -v busybox)" "$work/ram/bin/"
for name in netfs 9pnet 9pnet_virtio 9p overlay; do
    file=$(find "$tree/lib/modules" -name "$name.ko*" | head -n 1)
    case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dcq "$file" ;;
    *.gz) gzip -dc "$file" ;;
    *.ko) cat "$file" ;;
    esac > "$work/ram/modules/$name.ko"
done
printf '%s\n' "cd '$(printf '%s' "$PWD" | sed "s/'/'\\\\''/g")'" "$*" > "$work/ram/command"
cat > "$work/ram/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mkdir -p /proc /dev /low /top /new /status
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for name in netfs 9pnet 9pnet_virtio 9p overlay; do
    [ ! -s /modules/$name.ko ] || insmod /modules/$name.ko
done

# This machine's files, below what is written.
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host /low
mount -t tmpfs -o size=60% top /top
mkdir /top/upper /top/work
mount -t overlay -o lowerdir=/low,upperdir=/top/upper,workdir=/top/work over /new
mount -t 9p -o trans=virtio,version=9p2000.L status /status
mkdir -p "/new/lib/modules/$(uname -r)"
mount -t 9p -o trans=virtio,version=9p2000.L,ro modules "/new/lib/modules/$(uname -r)"

mount -t proc proc /new/proc
mount -t sysfs sys /new/sys
mount -o bind /dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts pts /new/dev/pts
for place in dev/shm run tmp; do mount -t tmpfs "$place" "/new/$place"; done
mount -t cgroup2 cgroup /new/sys/fs/cgroup
mount -t bpf bpf /new/sys/fs/bpf

# Modules that the kernel asks for are looked for where they are; this one it never asks for.
printf '#!/bin/sh\nexec chroot /new /sbin/modprobe "$@"\n' > /bin/load
chmod +x /bin/load
echo /bin/load > /proc/sys/kernel/modprobe
/bin/load tun
ifconfig lo up
cp /command /new/run/command
chroot /new /usr/bin/env -i HOME=/tmp TERM=dumb \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/bash /run/command < /dev/null
echo $? > /status/status
poweroff -f
INIT
chmod +x "$work/ram/init"
(cd "$work/ram" && find . | cpio --create --format=newc --quiet | gzip -1) > "$work/initrd"

qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "${CPUS:-2}" -m "${MEMORY:-2G}" \
    -nodefaults -nographic -no-reboot -serial stdio \
    -kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 loglevel=3" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs local,path="$work/status",mount_tag=status,security_model=none \
    -virtfs local,path="$tree/lib/modules/$version",mount_tag=modules,security_model=none,readonly=on
exit "$(cat "$work/status/status" 2> /dev/null || echo 125)"
