//! The targets by name.

/// One parser, or one thing that steps through untrusted bytes.
pub struct Target {
    /// For the command line; also the folder of its seeds.
    pub name: &'static str,
    /// Must not panic.
    pub run: fn(&[u8]),
    /// Longest input worth making.
    pub longest: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), longest: usize) -> Target {
    Target { name, run, longest }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("compositor", compositor::fuzzing::fuzz_scene, 4096),
    target("cpu", zone_translate::fuzzing::fuzz_cpu, 4096),
    target("link", zone_link::fuzzing::fuzz_decode, 21_000),
    target("virtio-block", zone_virtio::fuzzing::fuzz_block, 4096),
    target("virtio-console", zone_virtio::fuzzing::fuzz_console, 4096),
    target("virtio-gpu", zone_virtio::fuzzing::fuzz_gpu, 4096),
    target("virtio-input", zone_virtio::fuzzing::fuzz_input, 4096),
    target("virtio-rng", zone_virtio::fuzzing::fuzz_rng, 4096),
    target(
        "virtio-transport",
        zone_virtio::fuzzing::fuzz_transport,
        4096,
    ),
    target("virtio-vsock", zone_virtio::fuzzing::fuzz_vsock, 4096),
];
