//! The flattened device tree that tells the guest's kernel what the machine has.
//!
//! Source: Devicetree Specification 0.4 and the kernel's bindings for RISC-V, PLIC and virtio-mmio.

use vm_fdt::{FdtWriter, FdtWriterResult};
use zone_translate::time;

use crate::board::{PLIC_BASE, PLIC_SIZE, RAM_BASE, RTC_BASE, RTC_SIZE, VIRTIO_BASE, VIRTIO_SIZE};
use crate::plic::{RTC_SOURCE, SOURCES};

const PHANDLE_PLIC: u32 = 1;
/// Hart `n`'s own interrupt controller is this plus `n`.
const PHANDLE_HART: u32 = 16;
/// Supervisor external interrupt.
const IRQ_S_EXT: u32 = 9;

/// The extensions of the CPU, as the binding wants them.
const EXTENSIONS: &[&str] = &[
    "i",
    "m",
    "a",
    "f",
    "d",
    "c",
    "zicboz",
    "zicntr",
    "zicond",
    "zicsr",
    "zifencei",
    "zihintpause",
    "zfa",
    "zba",
    "zbb",
    "zbs",
    "sstc",
];
const ISA: &str = "rv64imafdc_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zfa_zba_zbb_zbs_sstc";

/// What the tree describes.
#[derive(Debug)]
pub struct Description<'a> {
    /// Number of harts.
    pub harts: u32,
    /// Bytes of RAM.
    pub memory: u64,
    /// Kernel command line.
    pub command_line: &'a str,
    /// Guest physical range of the initramfs.
    pub initramfs: Option<(u64, u64)>,
    /// Number of virtio transports, the first at [`VIRTIO_BASE`] with interrupt 1.
    pub transports: u32,
    /// Whether there is a real-time clock.
    pub has_rtc: bool,
    /// Seed for the guest's random number generator.
    pub seed: [u8; 32],
}

/// Writes the tree.
pub fn write(description: &Description<'_>) -> FdtWriterResult<Vec<u8>> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "bulkhead,zone")?;
    fdt.property_string("model", "Bulkhead zone")?;

    let chosen = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", description.command_line)?;
    fdt.property("rng-seed", &description.seed)?;
    if let Some((start, end)) = description.initramfs {
        fdt.property_u64("linux,initrd-start", start)?;
        fdt.property_u64("linux,initrd-end", end)?;
    }
    fdt.end_node(chosen)?;

    let memory = fdt.begin_node(&format!("memory@{RAM_BASE:x}"))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE, description.memory])?;
    fdt.end_node(memory)?;

    cpus(&mut fdt, description.harts)?;
    soc(&mut fdt, description)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn cpus(fdt: &mut FdtWriter, harts: u32) -> FdtWriterResult<()> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    fdt.property_u32(
        "timebase-frequency",
        u32::try_from(time::FREQUENCY).unwrap_or(u32::MAX),
    )?;
    for hart in 0..harts {
        let cpu = fdt.begin_node(&format!("cpu@{hart:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_u32("reg", hart)?;
        fdt.property_string("compatible", "riscv")?;
        fdt.property_string("status", "okay")?;
        fdt.property_string("riscv,isa", ISA)?;
        fdt.property_string("riscv,isa-base", "rv64i")?;
        fdt.property_string_list(
            "riscv,isa-extensions",
            EXTENSIONS.iter().map(ToString::to_string).collect(),
        )?;
        // A walk of three levels is cheaper than one of four, and 256 GiB are plenty for a zone's programs.
        fdt.property_string("mmu-type", "riscv,sv39")?;
        // A block is a page: the kernel clears each page by one instruction.
        fdt.property_u32("riscv,cboz-block-size", 4096)?;
        let controller = fdt.begin_node("interrupt-controller")?;
        fdt.property_u32("#interrupt-cells", 1)?;
        fdt.property_u32("#address-cells", 0)?;
        fdt.property_null("interrupt-controller")?;
        fdt.property_string("compatible", "riscv,cpu-intc")?;
        fdt.property_phandle(PHANDLE_HART + hart)?;
        fdt.end_node(controller)?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)
}

fn soc(fdt: &mut FdtWriter, description: &Description<'_>) -> FdtWriterResult<()> {
    let soc = fdt.begin_node("soc")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_null("ranges")?;

    let plic = fdt.begin_node(&format!("interrupt-controller@{PLIC_BASE:x}"))?;
    fdt.property_string_list(
        "compatible",
        vec!["sifive,plic-1.0.0".into(), "riscv,plic0".into()],
    )?;
    fdt.property_array_u64("reg", &[PLIC_BASE, PLIC_SIZE])?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("riscv,ndev", SOURCES)?;
    let contexts: Vec<u32> = (0..description.harts)
        .flat_map(|hart| [PHANDLE_HART + hart, IRQ_S_EXT])
        .collect();
    fdt.property_array_u32("interrupts-extended", &contexts)?;
    fdt.property_phandle(PHANDLE_PLIC)?;
    fdt.end_node(plic)?;

    if description.has_rtc {
        let rtc = fdt.begin_node(&format!("rtc@{RTC_BASE:x}"))?;
        fdt.property_string("compatible", "google,goldfish-rtc")?;
        fdt.property_array_u64("reg", &[RTC_BASE, RTC_SIZE])?;
        fdt.property_u32("interrupt-parent", PHANDLE_PLIC)?;
        fdt.property_u32("interrupts", RTC_SOURCE)?;
        fdt.end_node(rtc)?;
    }

    for slot in 0..description.transports {
        let base = VIRTIO_BASE + u64::from(slot) * VIRTIO_SIZE;
        let node = fdt.begin_node(&format!("virtio_mmio@{base:x}"))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        fdt.property_array_u64("reg", &[base, VIRTIO_SIZE])?;
        fdt.property_u32("interrupt-parent", PHANDLE_PLIC)?;
        fdt.property_u32("interrupts", slot + 1)?;
        // DMA is coherent: devices are this process.
        fdt.property_null("dma-coherent")?;
        fdt.end_node(node)?;
    }
    fdt.end_node(soc)
}
