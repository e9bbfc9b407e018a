//! The targets by name.

/// One parser, or one thing that steps through untrusted bytes.
pub struct Target {
    /// For the command line; also the folder of its seeds.
    pub name: &'static str,
    /// Must not panic.
    pub run: fn(&[u8]),
    /// Longest input worth making.
    pub longest: usize,
    /// What it may have allocated at any time, in bytes.
    pub memory: usize,
}

const fn target(name: &'static str, run: fn(&[u8]), longest: usize) -> Target {
    Target {
        name,
        run,
        longest,
        memory: 2 << 30,
    }
}

impl Target {
    /// The same with a limit of so many MiB.
    const fn within(self, mebibytes: usize) -> Self {
        Self {
            memory: mebibytes << 20,
            ..self
        }
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("agent", spice_agent::fuzzing::fuzz_stream, 4096),
    target("boot", zone_machine::fuzzing::fuzz_boot, 512),
    target("compositor", compositor::fuzzing::fuzz_scene, 4096),
    target("cpu", zone_translate::fuzzing::fuzz_cpu, 4096),
    target("link", zone_link::fuzzing::fuzz_decode, 21_000),
    target("outbox", spice_agent::fuzzing::fuzz_outbox, 4096),
    target("pages", zone_translate::fuzzing::fuzz_pages, 8192),
    target("policy-audit", bulkhead_policy::fuzzing::audit_lines, 4096),
    target(
        "policy-signature",
        bulkhead_policy::fuzzing::signature_file,
        4096,
    ),
    target("policy-text", bulkhead_policy::fuzzing::policy_text, 8192),
    target(
        "usb-descriptors",
        usb_redirect::fuzzing::fuzz_descriptors,
        4096,
    )
    .within(16),
    target(
        "usb-report-descriptor",
        usb_redirect::fuzzing::fuzz_report_descriptor,
        4096,
    )
    .within(16),
    target("usb-digest", usb_redirect::fuzzing::fuzz_digest, 4096).within(16),
    target("usb-stream", usb_redirect::fuzzing::fuzz_stream, 4096).within(32),
    target("usbip", usb_redirect::fuzzing::fuzz_usbip, 4096).within(16),
    target("usbredir", usb_redirect::fuzzing::fuzz_usbredir, 4096).within(16),
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
