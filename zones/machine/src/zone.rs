//! The zone process behind its jail: one machine, wired to the zone link.
//!
//! The main thread turns the endpoint's messages into what devices get; harts' threads send what devices say. The endpoint
//! is trusted, yet decoded with care: `zone-link` hands out nothing malformed. The guest is hostile; it meets only the
//! devices, the SBI and the CPU.

mod base;
mod outlet;
mod panic_watch;
mod ports;

use std::error::Error;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use rustix::rand::{GetRandomFlags, getrandom};
use zone_link::{
    FromZone, LinkError, Sender, Size, StartConfig, StreamId, ToZone, Volume, Writes, ZoneLink,
    ZoneState,
};
use zone_translate::CodeCache;
use zone_virtio::block::{Block, FileVolume, Overlay};
use zone_virtio::console::{Console, ConsoleHandle};
use zone_virtio::gpu::{CursorImage, Display, DisplaySink, Gpu, Rect, SharedSurface};
use zone_virtio::input::{Input, InputEvent, InputHandle, POINTER_MAX};
use zone_virtio::rng::Rng;
use zone_virtio::vsock::{Vsock, VsockHandle, VsockHost};

use self::outlet::Outlet;
use self::ports::{ConsoleOutput, Ports};
use crate::machine::{Builder, Machine, MachineError, Observer};
use crate::sbi::Ending;

/// What the machine adds to the endpoint's kernel command line. The early console is the SBI's: through it the kernel's last words
/// are heard before any driver is loaded; then the console device takes over, so that each is heard once. Only errors go there,
/// each character costs the guest time.
const COMMAND_LINE: &str = "earlycon=sbi loglevel=4 panic=1";
/// The guest's address on its socket device, the first that is not reserved. Each zone has a device of its own, so all have it.
const GUEST_CID: u32 = 3;
/// evdev code of the power button.
const KEY_POWER: u16 = 116;

/// Why a zone cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// The link broke.
    #[error("the zone link failed")]
    Link(#[from] LinkError),
    /// The endpoint did not begin with a start and a surface.
    #[error("the endpoint sent {0} before the machine was started")]
    Order(&'static str),
    /// The machine could not be made.
    #[error("the machine could not be started")]
    Machine(#[from] MachineError),
    /// A volume could not be opened.
    #[error("volume vd{letter} cannot be used")]
    Volume {
        /// As in the guest's device name.
        letter: char,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The surface could not be mapped.
    #[error("the surface cannot be mapped")]
    Surface(#[from] zone_virtio::gpu::SurfaceError),
    /// A resource of the host.
    #[error("the host gives no {what}")]
    Host {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// An error and its causes in one line.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Runs the zone until its machine ends or the endpoint is gone. `code` is memory for the code its harts translate, `debugger` a debugger's
/// end of a stream.
pub fn run(link: &ZoneLink, code: Vec<CodeCache>, debugger: Option<File>) -> Result<(), ZoneError> {
    let Some((start, surface)) = receive_start(link)? else {
        return Ok(());
    };
    link.send(&FromZone::State(ZoneState::Starting))?;
    let zone = Zone::start(link, *start, surface, code, debugger)?;
    link.send(&FromZone::State(ZoneState::Running))?;
    while let Some(message) = link.recv()? {
        zone.handle(message)?;
    }
    zone.machine.stop();
    zone.machine.join();
    Ok(())
}

struct NewSurface {
    generation: u32,
    size: Size,
    memory: OwnedFd,
}

/// Waits for what the machine is made of; `None` if the endpoint is gone first.
fn receive_start(link: &ZoneLink) -> Result<Option<(Box<StartConfig>, NewSurface)>, ZoneError> {
    let (mut start, mut surface) = (None, None);
    loop {
        match link.recv()? {
            None => return Ok(None),
            Some(ToZone::Start(config)) => start = Some(config),
            Some(ToZone::Surface {
                generation,
                size,
                memory,
            }) => {
                surface = Some(NewSurface {
                    generation: generation.0,
                    size,
                    memory,
                });
            }
            Some(other) => return Err(ZoneError::Order(other.name())),
        }
        (start, surface) = match (start, surface) {
            (Some(start), Some(surface)) => return Ok(Some((start, surface))),
            incomplete => incomplete,
        };
    }
}

struct Zone {
    machine: Machine,
    outlet: Arc<Outlet>,
    display: Display,
    size: std::cell::Cell<Size>,
    keyboard: InputHandle,
    pointer: InputHandle,
    power: InputHandle,
    console: ConsoleHandle,
    sockets: VsockHandle,
    input: mpsc::Sender<ports::Input>,
}

impl Zone {
    fn start(
        link: &ZoneLink,
        config: StartConfig,
        surface: NewSurface,
        code: Vec<CodeCache>,
        debugger: Option<File>,
    ) -> Result<Self, ZoneError> {
        let sender = link.sender();
        let mut builder = Builder::new(config.memory_mib, config.harts.into())?;
        builder.translate(code);
        if let Some(debugger) = debugger {
            builder.debug(debugger);
        }
        for (volume, letter) in config.volumes.into_iter().zip('a'..) {
            let block =
                open_volume(volume).map_err(|source| ZoneError::Volume { letter, source })?;
            let block = Block::plug(builder.slot()?, block, &format!("bulkhead-vd{letter}"));
            builder.attach((block, ()));
        }
        let size = surface.size;
        let generation = surface.generation;
        let surface = SharedSurface::map(surface.memory, size.width(), size.height())?;
        let screen = Screen {
            sender: sender.clone(),
        };
        let display = builder.attach(Gpu::plug(
            builder.slot()?,
            surface,
            generation,
            Box::new(screen),
        ));
        let keyboard = builder.attach(Input::keyboard(builder.slot()?));
        let pointer = builder.attach(Input::pointer(builder.slot()?));
        let power = builder.attach(Input::power_button(builder.slot()?));
        let outlet = Arc::new(Outlet::new(sender.clone()));
        let console_output = Arc::new(ConsoleOutput::new(Arc::clone(&outlet), sender.clone()));
        let (ports, input, receiver) = Ports::new(Arc::clone(&outlet), Arc::clone(&console_output));
        let console = builder.attach(Console::plug(builder.slot()?, Box::new(ports)));
        builder.attach((Rng::plug(builder.slot()?), ()));
        let streams = Streams {
            sender: sender.clone(),
        };
        let sockets =
            Vsock::plug(builder.slot()?, GUEST_CID, Box::new(streams)).map_err(|source| {
                ZoneError::Host {
                    what: "thread for streams",
                    source,
                }
            })?;
        let sockets = builder.attach(sockets);

        let (feeder_console, feeder_sender) = (console.clone(), sender.clone());
        std::thread::Builder::new()
            .name("ports".into())
            .spawn(move || ports::feed(&receiver, &feeder_console, &feeder_sender))
            .map_err(|source| ZoneError::Host {
                what: "thread",
                source,
            })?;

        let command_line = format!("{COMMAND_LINE} {}", config.command_line);
        let machine = builder.start(
            &File::from(config.kernel),
            Some(&File::from(config.initramfs)),
            &command_line,
            seed()?,
            console_output,
            Arc::new(Reporter { sender }),
        )?;
        Ok(Self {
            machine,
            outlet,
            display,
            size: size.into(),
            keyboard,
            pointer,
            power,
            console,
            sockets,
            input,
        })
    }

    fn handle(&self, message: ToZone) -> Result<(), ZoneError> {
        match message {
            ToZone::Surface {
                generation,
                size,
                memory,
            } => {
                let surface = SharedSurface::map(memory, size.width(), size.height())?;
                self.size.set(size);
                self.display.resize(surface, generation.0);
            }
            ToZone::Key { code, pressed } => {
                self.keyboard.send(&[InputEvent::Key { code, pressed }]);
            }
            ToZone::PointerMotion { x, y } => {
                // The guest's range covers what it shows, which is not the surface's size until it has followed a resize.
                let surface = self.size.get();
                let (width, height) = self
                    .display
                    .shown_size()
                    .unwrap_or((surface.width(), surface.height()));
                self.pointer.send(&[InputEvent::Position {
                    x: scale(x, width),
                    y: scale(y, height),
                }]);
            }
            ToZone::PointerButton { code, pressed } => {
                self.pointer.send(&[InputEvent::Key { code, pressed }]);
            }
            ToZone::Wheel {
                vertical,
                horizontal,
            } => {
                self.pointer.send(&[InputEvent::Wheel {
                    vertical,
                    horizontal,
                }]);
            }
            ToZone::PortData { port, data } => {
                // The receiver lives as long as the process.
                let _ = self
                    .input
                    .send(ports::Input::Bytes(port, data.as_slice().to_vec()));
            }
            ToZone::PortCredit { port, bytes } => {
                self.outlet.grant(port, bytes).map_err(LinkError::from)?;
                self.console.resume(port.number());
            }
            ToZone::Power => {
                self.power.send(&[InputEvent::Key {
                    code: KEY_POWER,
                    pressed: true,
                }]);
                self.power.send(&[InputEvent::Key {
                    code: KEY_POWER,
                    pressed: false,
                }]);
            }
            ToZone::StreamAccept { id, socket } => self.sockets.accept(id.0, socket),
            ToZone::StreamRefuse { id } => self.sockets.refuse(id.0),
            ToZone::StreamDial { port, socket, .. } => self.sockets.dial(port, socket),
            // The guest is not told: it sees its keys released, and nothing more while it has no focus.
            ToZone::Focus(_) => {}
            other => return Err(ZoneError::Order(other.name())),
        }
        Ok(())
    }
}

/// A surface's pixel as the pointer's absolute coordinate.
fn scale(pixel: u32, side: u32) -> u32 {
    let last = u64::from(side.saturating_sub(1)).max(1);
    let scaled = u64::from(pixel).min(last) * u64::from(POINTER_MAX) / last;
    u32::try_from(scaled).unwrap_or(POINTER_MAX)
}

fn seed() -> Result<[u8; 32], ZoneError> {
    let mut seed = [0; 32];
    getrandom(&mut seed, GetRandomFlags::empty()).map_err(|error| ZoneError::Host {
        what: "random numbers",
        source: error.into(),
    })?;
    Ok(seed)
}

fn open_volume(
    volume: Volume,
) -> Result<Box<dyn zone_virtio::block::Volume>, Box<dyn Error + Send + Sync>> {
    let image = File::from(volume.image);
    Ok(match volume.writes {
        Writes::Refused => Box::new(FileVolume::open(image)?),
        Writes::Discarded(scratch) => {
            let base = FileVolume::open(image)?;
            Box::new(Overlay::temporary(base, File::from(scratch))?)
        }
        Writes::Kept(overlay) => {
            let identity = base::identity(&image)?;
            let base = FileVolume::open(image)?;
            Box::new(Overlay::open(base, File::from(overlay), identity)?)
        }
    })
}

/// Tells the endpoint what the display shows.
struct Screen {
    sender: Sender<FromZone>,
}

impl DisplaySink for Screen {
    fn frame(&mut self, generation: u32, damage: &[Rect]) {
        let rectangles = damage
            .iter()
            .map(|rect| zone_link::Rect {
                x: rect.x,
                y: rect.y,
                width: rect.width,
                height: rect.height,
            })
            .collect();
        // A link that is gone ends the process by the main thread.
        let _ = self.sender.send(&FromZone::Frame {
            generation: zone_link::Generation(generation),
            rectangles,
        });
    }

    fn cursor(&mut self, cursor: Option<&CursorImage>) {
        let narrow = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        let image = cursor.and_then(|cursor| {
            zone_link::CursorImage::new(
                narrow(cursor.width),
                narrow(cursor.height),
                narrow(cursor.hot_x),
                narrow(cursor.hot_y),
                cursor.pixels.clone(),
            )
        });
        let _ = self
            .sender
            .send(&image.map_or(FromZone::CursorHidden, FromZone::Cursor));
    }
}

/// Asks the endpoint for the streams that the guest wants.
struct Streams {
    sender: Sender<FromZone>,
}

impl VsockHost for Streams {
    fn request(&mut self, id: u32, port: u32) {
        let _ = self.sender.send(&FromZone::StreamRequest {
            id: StreamId(id),
            port,
        });
    }
}

/// Tells the endpoint how the machine ended.
struct Reporter {
    sender: Sender<FromZone>,
}

impl Observer for Reporter {
    fn ended(&self, ending: Ending) {
        let state = match ending {
            Ending::Off => ZoneState::Off,
            Ending::Reset => ZoneState::Reset,
        };
        let _ = self.sender.send(&FromZone::State(state));
        // The main thread waits for the endpoint, which has nothing more to say to a machine that is gone.
        std::process::exit(0);
    }
}
