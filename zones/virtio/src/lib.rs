//! virtio-mmio transport and the devices of a zone's machine.
