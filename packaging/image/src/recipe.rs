//! What goes into the desktop image: packages, drivers, caches and the guest's own files.
//!
//! Everything is chosen for a fast start on an interpreted CPU: no service manager, no device daemon, no accelerated drawing stack
//! that a framebuffer without 3D would never use.

use crate::Sha256;
use crate::digest::of_parts;

/// Raised by hand when the builder changes what it makes of the same packages and files.
const BUILDER_REVISION: &str = "2";

/// Name of the image.
pub(crate) const NAME: &str = "debian-desktop";

/// The Debian suite.
pub(crate) const SUITE: &str = "trixie";

/// Time of every file in an image, in seconds since 1970: the suite's release day. A fixed one, so that images do not depend on when
/// they are made.
pub(crate) const TIMESTAMP: u64 = 1_754_697_600;

/// User and group of the guest's one user.
pub(crate) const USER_ID: u32 = 1000;

/// Packages that the guest is for; apt adds what they depend on.
pub(crate) const PACKAGES: &[&str] = &[
    "linux-image-riscv64",
    "busybox-static",
    // The shell people know, and what makes a home volume.
    "bash",
    "libc-bin",
    "ncurses-base",
    "e2fsprogs",
    "util-linux",
    // Screen, keyboard, pointer.
    "xserver-xorg-core",
    "xserver-xorg-input-evdev",
    "xkb-data",
    "x11-xkb-utils",
    "fonts-dejavu-core",
    "fonts-dejavu-mono",
    // The desktop.
    "jwm",
    "xterm",
    "pcmanfm",
    "l3afpad",
    "hicolor-icon-theme",
    "x11-utils",
    "x11-xserver-utils",
    // Clipboard and display size for a host that speaks SPICE.
    "spice-vdagent",
    // Runs the guest's own program that takes USB devices: a socket for vsock is beyond the shell.
    "perl-base",
];

/// Packages that others ask for and this guest never runs or loads: apt is told that they are there, so that neither they nor
/// what they need is fetched.
pub(crate) const LEFT_OUT: &[&str] = &[
    // Our init replaces them.
    "dbus",
    "dbus-bin",
    "dbus-daemon",
    "dbus-session-bus-common",
    "dbus-user-session",
    "default-dbus-session-bus",
    "default-logind",
    "init-system-helpers",
    "initramfs-tools",
    "kmod",
    "linux-base",
    "login",
    "login.defs",
    "mount",
    "passwd",
    "procps",
    "systemd",
    "sysvinit-utils",
    "udev",
    // They serve maintainer scripts, and none is run.
    "adduser",
    "base-files",
    "base-passwd",
    "coreutils",
    "cpp",
    "debconf",
    "debconf-2.0",
    "debianutils",
    "dpkg",
    "keyboard-configuration",
    "libpam-modules",
    "libpam-runtime",
    "perl",
    "sensible-utils",
    "tar",
    "ucf",
    "x11-common",
    "xserver-common",
    // Drawing with a 3D card. The server's and the toolkit's parts that would load it are switched off.
    "libegl1",
    "libgbm1",
    "libgl1",
    "libgl1-mesa-dri",
    // Printing, colour profiles, big icon sets, settings service.
    "adwaita-icon-theme",
    "dconf-gsettings-backend",
    "dconf-service",
    "gsettings-backend",
    "libasound2-data",
    "libcolord2",
    "libcups2t64",
    "poppler-data",
    // Caches are made with the image; nothing makes them inside.
    "desktop-file-utils",
    "fontconfig",
    "fontconfig-config",
    "gtk-update-icon-cache",
    "shared-mime-info",
];

/// Host programs that make the caches and file systems. They come from the same suite as the guest, so that the image's bytes do
/// not depend on the host's versions.
pub(crate) const TOOL_PACKAGES: &[&str] = &[
    "binutils-riscv64-linux-gnu",
    "fontconfig",
    "libglib2.0-bin",
    "shared-mime-info",
    "squashfs-tools",
    "x11-xkb-utils",
    "xz-utils",
];

/// What the tools' packages ask for and a program run by hand does not.
pub(crate) const TOOLS_LEFT_OUT: &[&str] = &[
    "adduser",
    "debconf",
    "debconf-2.0",
    "dpkg",
    "fonts-dejavu-core",
    "fonts-dejavu-mono",
    "init-system-helpers",
    "perl",
    "perl-base",
    "sensible-utils",
    "tar",
    "ucf",
    "x11-common",
    "xfonts-utils",
];

/// Files of packages that no guest program reads. Patterns of tar.
pub(crate) const EXCLUDED_FILES: &[&str] = &[
    "./boot/*",
    "./etc/cron*",
    "./etc/fonts/*",
    "./etc/init.d/*",
    "./etc/systemd/*",
    "./etc/udev/*",
    "./usr/include/*",
    "./usr/lib/*/cmake/*",
    "./usr/lib/*/pkgconfig/*",
    "./usr/lib/modules/*",
    "./usr/lib/systemd/*",
    "./usr/lib/udev/*",
    "./usr/lib/xorg/modules/extensions/libglx.so",
    "./usr/lib/xorg/modules/libglamoregl.so",
    "./usr/share/bash-completion/*",
    "./usr/share/bug/*",
    // Every program would parse these forty files again, whatever fonts.conf says.
    "./usr/share/fontconfig/*",
    "./usr/share/gtk-doc/*",
    "./usr/share/info/*",
    "./usr/share/lintian/*",
    "./usr/share/locale/*",
    "./usr/share/man/*",
    "./usr/share/zsh/*",
];

/// A driver of the first root file system, with its options.
pub(crate) struct Driver {
    /// Module name as the kernel's file has it, without `.ko`.
    pub(crate) name: &'static str,
    /// Module parameters.
    pub(crate) options: &'static str,
}

const fn driver(name: &'static str) -> Driver {
    Driver { name, options: "" }
}

/// Drivers without which there is no root file system, in order; what they depend on is put before them.
pub(crate) const ROOT_DRIVERS: &[Driver] = &[
    driver("virtio_mmio"),
    driver("virtio_blk"),
    driver("squashfs"),
    driver("overlay"),
];

/// Drivers that load beside them, in order.
pub(crate) const DEVICE_DRIVERS: &[Driver] = &[
    // A text console on the screen would be drawn, scrolled and thrown away.
    Driver {
        name: "drm_kms_helper",
        options: "fbdev_emulation=0",
    },
    driver("virtio-gpu"),
    driver("virtio_input"),
    driver("evdev"),
    driver("virtio-rng"),
    driver("vmw_vsock_virtio_transport"),
];

/// Drivers that the guest loads when it has a home volume.
pub(crate) const HOME_DRIVERS: &[Driver] = &[
    // ext4 asks for it by what it does, which no dependency shows.
    driver("crc32c_generic"),
    driver("ext4"),
];

/// Drivers that the guest loads when it is given its first USB device.
pub(crate) const USB_DRIVERS: &[Driver] = &[
    driver("vhci-hcd"),
    driver("usbhid"),
    driver("hid-generic"),
    driver("hid-multitouch"),
];

/// Where in the kernel's module tree drivers and what they depend on are found. Patterns of tar.
pub(crate) const DRIVER_FILES: &[&str] = &[
    "./usr/lib/modules/*/kernel/crypto",
    "./usr/lib/modules/*/kernel/drivers/block",
    "./usr/lib/modules/*/kernel/drivers/char/hw_random",
    "./usr/lib/modules/*/kernel/drivers/gpu/drm/*.ko.xz",
    "./usr/lib/modules/*/kernel/drivers/gpu/drm/virtio",
    "./usr/lib/modules/*/kernel/drivers/hid",
    "./usr/lib/modules/*/kernel/drivers/input/*.ko.xz",
    "./usr/lib/modules/*/kernel/drivers/usb/common",
    "./usr/lib/modules/*/kernel/drivers/usb/core",
    "./usr/lib/modules/*/kernel/drivers/usb/usbip",
    "./usr/lib/modules/*/kernel/drivers/virtio",
    "./usr/lib/modules/*/kernel/fs/*.ko.xz",
    "./usr/lib/modules/*/kernel/fs/ext4",
    "./usr/lib/modules/*/kernel/fs/jbd2",
    "./usr/lib/modules/*/kernel/fs/overlayfs",
    "./usr/lib/modules/*/kernel/fs/squashfs",
    "./usr/lib/modules/*/kernel/lib",
    "./usr/lib/modules/*/kernel/net/vmw_vsock",
];

/// Keyboard maps that are compiled with the image: the X server's key codes and symbols. Other maps are compiled in the guest at
/// its start, which takes it a second more.
pub(crate) const KEYMAPS: &[(&str, &str)] = &[
    // What the server starts with before it has a keyboard.
    ("xfree86+aliases(qwerty)", "pc+us+inet(pc105)"),
    ("evdev+aliases(qwerty)", "pc+us+inet(evdev)"),
    ("evdev+aliases(qwerty)", "pc+gb+inet(evdev)"),
    ("evdev+aliases(qwertz)", "pc+de+inet(evdev)"),
    ("evdev+aliases(azerty)", "pc+fr+inet(evdev)"),
    ("evdev+aliases(qwerty)", "pc+es+inet(evdev)"),
    ("evdev+aliases(qwerty)", "pc+it+inet(evdev)"),
];

/// Kernel arguments that the image asks for: start-up work of this kernel that a zone has no use for. With all of it a boot on an
/// interpreted CPU takes twice as long.
/// - self-tests of ciphers, and the jitter entropy source's: a zone's randomness comes from virtio-rng;
/// - checking the kernel's own module certificate: the drivers come with the kernel, from one verified image;
/// - tracing and BPF type information that only tracers use.
pub(crate) const KERNEL_ARGUMENTS: &str = "cryptomgr.notests initcall_blacklist=jent_mod_init,load_system_certificate_list,\
init_kprobe_trace,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init";

/// Files that are not compressed, in mksquashfs' language: what a boot reads. An interpreted CPU would spend a third of the boot on
/// unpacking it.
pub(crate) const UNCOMPRESSED: &str = "uncompressed@ subpathname(usr/lib) || subpathname(usr/bin) || subpathname(usr/sbin) || \
subpathname(usr/share/fonts) || subpathname(usr/share/X11) || subpathname(etc) || subpathname(var)";

/// A file of our own in the guest.
pub(crate) struct GuestFile {
    /// Path in the file system, without a leading slash.
    pub(crate) path: &'static str,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Contents.
    pub(crate) contents: &'static str,
}

macro_rules! guest_files {
    ($folder:literal: $($mode:literal $path:literal,)*) => {
        &[$(GuestFile {
            path: $path,
            mode: $mode,
            contents: include_str!(concat!("../../guest/", $folder, "/", $path)),
        },)*]
    };
}

/// Files of the initramfs.
pub(crate) const INITRAMFS_FILES: &[GuestFile] = guest_files!["initramfs":
    0o755 "init",
];

/// Files of the root file system.
pub(crate) const ROOT_FILES: &[GuestFile] = guest_files!["root":
    0o644 "etc/X11/Xresources",
    0o644 "etc/X11/xorg.conf",
    0o644 "etc/bash.bashrc",
    0o644 "etc/fonts/fonts.conf",
    0o644 "etc/group",
    0o644 "etc/gtk-3.0/settings.ini",
    0o644 "etc/inittab",
    0o644 "etc/jwm/system.jwmrc",
    0o644 "etc/passwd",
    0o644 "etc/xdg/mimeapps.list",
    0o755 "usr/bin/bulkhead-send",
    0o755 "usr/bin/xkbcomp",
    0o755 "usr/lib/bulkhead/boot",
    0o755 "usr/lib/bulkhead/desktop",
    0o755 "usr/lib/bulkhead/display",
    0o755 "usr/lib/bulkhead/home",
    0o755 "usr/lib/bulkhead/late",
    0o755 "usr/lib/bulkhead/power-button",
    0o755 "usr/lib/bulkhead/session",
    0o755 "usr/lib/bulkhead/shutdown",
    0o755 "usr/lib/bulkhead/terminal",
    0o755 "usr/lib/bulkhead/usb",
    0o644 "usr/share/applications/bulkhead-send.desktop",
];

/// Files of packages that ours stand before: where the package has it, where it goes.
pub(crate) const MOVED_FILES: &[(&str, &str)] = &[("usr/bin/xkbcomp", "usr/lib/bulkhead/xkbcomp")];

/// Directories that packages do not bring, with their permission bits.
pub(crate) const ROOT_DIRECTORIES: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("home", 0o755),
    ("home/user", 0o755),
    ("mnt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var/cache/fontconfig", 0o755),
    ("var/lib", 0o755),
    ("var/lib/xkb", 0o755),
    ("var/tmp", 0o1777),
];

/// Links that packages do not bring: path, target.
pub(crate) const ROOT_LINKS: &[(&str, &str)] = &[
    ("etc/mtab", "/proc/self/mounts"),
    ("usr/bin/sh", "busybox"),
    ("usr/sbin/init", "/usr/bin/busybox"),
    ("usr/bin/x-terminal-emulator", "xterm"),
    ("var/run", "/run"),
];

/// busybox programs that stand in for Debian's where no package brings the real one.
pub(crate) const BUSYBOX_PROGRAMS: &str = "\
[ ar arch ash awk base64 basename bc bunzip2 bzcat bzip2 cal cat chgrp chmod chown chroot clear cmp cp cpio cut date dc dd df \
diff dirname dmesg dos2unix du echo ed env expand expr factor false find fold free ftpget getopt grep egrep fgrep groups \
gunzip gzip head hexdump hostid hostname httpd id ifconfig insmod install ip kill killall less link ln logname ls lsmod lzcat \
md5sum mkdir mkfifo mknod mktemp modprobe more mount mv nc netstat nl nproc nslookup od paste patch pidof ping poweroff printf \
ps pwd readlink realpath reboot renice reset rev rm rmdir rmmod route sed seq setsid sha1sum sha256sum sha512sum shred shuf \
sleep sort stat strings stty sync sysctl tac tail tar tee telnet test time timeout top touch tr traceroute true truncate tty \
umount uname unexpand uniq unix2dos unlink unxz unzip uptime usleep vi watch wc wget which who whoami xargs xxd xz xzcat yes \
zcat";

/// Digest of everything here that shapes an image, and of the builder's revision.
pub(crate) fn identity() -> Sha256 {
    let mut parts: Vec<Vec<u8>> = vec![
        BUILDER_REVISION.into(),
        NAME.into(),
        SUITE.into(),
        TIMESTAMP.to_le_bytes().into(),
        USER_ID.to_le_bytes().into(),
        BUSYBOX_PROGRAMS.into(),
        KERNEL_ARGUMENTS.into(),
        UNCOMPRESSED.into(),
    ];
    for list in [
        PACKAGES,
        LEFT_OUT,
        TOOL_PACKAGES,
        TOOLS_LEFT_OUT,
        EXCLUDED_FILES,
        DRIVER_FILES,
    ] {
        parts.push(list.join("\n").into());
    }
    for drivers in [ROOT_DRIVERS, DEVICE_DRIVERS, HOME_DRIVERS, USB_DRIVERS] {
        for driver in drivers {
            parts.push(format!("{} {}", driver.name, driver.options).into());
        }
    }
    for files in [INITRAMFS_FILES, ROOT_FILES] {
        for file in files {
            parts.push(format!("{} {:o}", file.path, file.mode).into());
            parts.push(file.contents.into());
        }
    }
    for (path, mode) in ROOT_DIRECTORIES {
        parts.push(format!("{path} {mode:o}").into());
    }
    for (path, target) in ROOT_LINKS.iter().chain(MOVED_FILES).chain(KEYMAPS) {
        parts.push(format!("{path} {target}").into());
    }
    of_parts(parts.iter().map(Vec::as_slice))
}
