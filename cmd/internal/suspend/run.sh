#!/usr/bin/env bash
# Suspends a virtual machine with a leader inside, and pauses it, and shows what the leader believes when it resumes. The
# machine is emulated: no KVM is needed, and it reaches nothing but an etcd that is started on this host's loopback.
#
#	cmd/internal/suspend/run.sh [--rounds N]
#
# It needs Debian or a relative of it, for its kernel and for qemu-system-x86, busybox-static, cpio and kmod: what is
# missing is installed if you are root, and named if you are not. It takes about a minute a round.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

missing=()
for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod; do
	command -v "${tool%%:*}" >/dev/null || missing+=("${tool##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
	[ "$(id -u)" = 0 ] || {
		echo "suspend: install ${missing[*]} first" >&2
		exit 1
	}
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}" >&2
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The kernel, unpacked and not installed.
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
(cd "$dir" && apt-get -qq download "$package" 2>/dev/null && dpkg-deb -x ./*.deb kernel)
kernel=$(echo "$dir"/kernel/boot/vmlinuz-*)
version=$(basename "$dir"/kernel/lib/modules/*)

# A root file system: busybox, the program, the network card's driver with what it needs, and an init that starts it.
root=$dir/root
mkdir -p "$root"/{bin,proc,sys,dev,modules}
cp "$(command -v busybox)" "$root/bin/busybox"
CGO_ENABLED=0 go build -o "$root/bin/suspend" .
depmod -b "$dir/kernel" "$version"
for module in virtio_pci virtio_net; do
	modprobe -d "$dir/kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
	cp "$file" "$root/modules/"
	basename "$file"
done >"$dir/order"
mv "$dir/order" "$root/modules/order"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r m; do insmod "/modules/$m"; done </modules/order
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
stty -echo </dev/ttyS0 2>/dev/null
suspend guest "$(sed -n 's/.*etcd=\([^ ]*\).*/\1/p' /proc/cmdline)" </dev/ttyS0 >/dev/ttyS0 2>&1
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$dir/initrd"

go build -o "$dir/suspend" .
"$dir/suspend" judge --kernel "$kernel" --initrd "$dir/initrd" "$@"
