//! `usb-bench [--json] [--seconds N]`: prints what `usb_redirect_bench` measures.

fn main() -> anyhow::Result<()> {
    usb_redirect_bench::run(std::env::args().skip(1))
}
