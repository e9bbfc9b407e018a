//! A window on an X11 or Wayland desktop, by winit and softbuffer. No other file knows either of them.
//!
//! The main thread belongs to winit. A helper thread waits for the session's descriptors and wakes it by a user event; it then waits
//! to be told that the session was looked at, so it never turns busy.
//!
//! Screen readers hear of a frame when it is presented, through a process of their own (crate `accessibility`). Nothing comes back.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use accessibility::{Bridge, Told};
use compositor::accesskit::Rect;
use compositor::{InputEvent, KeyMovement, Point, Scale, Size, Target};
use rustix::event::{PollFd, PollFlags, poll};
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::event::{ElementState, KeyEvent, MouseButton, MouseScrollDelta, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::PhysicalKey;
use winit::platform::scancode::PhysicalKeyExtScancode;
use winit::window::{Window, WindowId};

use super::picture::SpareCanvas;
use super::{Show, ShowError};
use crate::DESKTOP;

/// Pixels of smooth scrolling that count as one notch of a wheel.
const PIXELS_PER_NOTCH: f64 = 40.0;
/// One notch in the units of the link.
const NOTCH: f64 = 120.0;

/// Who puts the window's pixels together. Both give the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Painter {
    /// The processor.
    #[default]
    Processor,
    /// The graphics card, by Vulkan; the processor where that fails.
    #[cfg(feature = "gpu")]
    Card,
}

/// Runs a show to its end in a window of `size`, told to screen readers by the program `bridge`, if one is given.
///
/// # Errors
/// There is no display, or what went wrong with the show.
pub fn run(
    show: Show,
    size: Size,
    painter: Painter,
    bridge: Option<&Path>,
) -> Result<(), ShowError> {
    super::libraries::check()?;
    let events = EventLoop::<Wake>::with_user_event()
        .build()
        .map_err(|error| ShowError::NoDisplay(error.into()))?;
    let looked_at = watch(&show, events.create_proxy())?;
    let bridge = bridge.and_then(|program| tell_readers(program, events.create_proxy()));
    let mut presenter = Presenter {
        show,
        size,
        painter,
        canvas: None,
        looked_at,
        bridge,
        has_keyboard: false,
        failure: None,
    };
    let ran = events.run_app(&mut presenter);
    let Presenter { show, failure, .. } = presenter;
    if let Some(failure) = failure {
        return Err(failure);
    }
    ran.map_err(|error| ShowError::NoDisplay(error.into()))?;
    show.outcome()
}

/// Why the main thread is woken.
#[derive(Debug)]
enum Wake {
    /// Something happened to the session.
    Session,
    /// A screen reader begins to listen.
    Reader,
}

/// Starts the bridge to screen readers. A desktop without one is a desktop all the same.
fn tell_readers(program: &Path, proxy: EventLoopProxy<Wake>) -> Option<Bridge> {
    // Where the main thread is gone nobody has to be woken.
    let wake = move || {
        let _ = proxy.send_event(Wake::Reader);
    };
    let started = Bridge::start(program, wake);
    let told = |error| {
        let program = program.display();
        tracing::warn!("screen readers hear nothing of this desktop: {program}: {error}");
    };
    started.map_err(told).ok()
}

/// Starts the helper thread. It ends when the sender it gives back is dropped.
fn watch(show: &Show, proxy: EventLoopProxy<Wake>) -> Result<mpsc::Sender<()>, ShowError> {
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map_err(ShowError::Loop);
    let [zones, signals] = show.descriptors();
    let watched: [OwnedFd; 2] = [copy(zones)?, copy(signals)?];
    let (sender, looked_at) = mpsc::channel();
    let wait = move || loop {
        let mut polled = watched.each_ref().map(|fd| PollFd::new(fd, PollFlags::IN));
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return tracing::error!("waiting for zones failed: {errno}"),
        }
        if proxy.send_event(Wake::Session).is_err() || looked_at.recv().is_err() {
            return;
        }
    };
    std::thread::Builder::new()
        .name("watch-zones".into())
        .spawn(wait)
        .map_err(ShowError::Loop)?;
    Ok(sender)
}

struct Presenter {
    show: Show,
    size: Size,
    painter: Painter,
    canvas: Option<WindowCanvas>,
    looked_at: mpsc::Sender<()>,
    bridge: Option<Bridge>,
    has_keyboard: bool,
    failure: Option<ShowError>,
}

struct WindowCanvas {
    window: Arc<Window>,
    surface: Surface,
}

enum Surface {
    Memory(softbuffer::Surface<Arc<Window>, Arc<Window>>),
    #[cfg(feature = "gpu")]
    Card(Box<compositor::gpu::GpuWindow>),
}

impl Surface {
    fn in_memory(window: &Arc<Window>) -> Result<Self, softbuffer::SoftBufferError> {
        let context = softbuffer::Context::new(Arc::clone(window))?;
        softbuffer::Surface::new(&context, Arc::clone(window)).map(Self::Memory)
    }
}

impl Presenter {
    fn open(
        &mut self,
        events: &ActiveEventLoop,
    ) -> Result<WindowCanvas, Box<dyn std::error::Error>> {
        let size = PhysicalSize::new(self.size.width, self.size.height);
        let attributes = Window::default_attributes()
            .with_title("Bulkhead")
            .with_inner_size(size);
        let window = Arc::new(events.create_window(attributes)?);
        // The compositor draws the pointer, as part of the trusted UI.
        window.set_cursor_visible(false);
        let surface = match self.painter {
            Painter::Processor => Surface::in_memory(&window)?,
            #[cfg(feature = "gpu")]
            Painter::Card => {
                let card = compositor::gpu::GpuWindow::open(Arc::clone(&window))?;
                tracing::info!("the window is painted by {}", card.painter().card());
                Surface::Card(Box::new(card))
            }
        };
        Ok(WindowCanvas { window, surface })
    }

    fn resize(&mut self, size: PhysicalSize<u32>) {
        let Some(canvas) = &mut self.canvas else {
            return;
        };
        let (Some(width), Some(height)) =
            (NonZeroU32::new(size.width), NonZeroU32::new(size.height))
        else {
            return;
        };
        match &mut canvas.surface {
            Surface::Memory(surface) => {
                if let Err(error) = surface.resize(width, height) {
                    tracing::error!("the window's buffer could not be resized: {error}");
                }
            }
            // It follows the desktop's size by itself.
            #[cfg(feature = "gpu")]
            Surface::Card(_) => {}
        }
        let scale = Scale::from_factor(canvas.window.scale_factor());
        self.show
            .session
            .resize(Size::new(size.width, size.height), scale, Instant::now());
        canvas.window.request_redraw();
    }

    /// Tells screen readers what is on the trusted screens now.
    fn tell(&self) {
        let bridge = self
            .bridge
            .as_ref()
            .filter(|bridge| bridge.is_listened_to());
        let (Some(bridge), Some(canvas)) = (bridge, &self.canvas) else {
            return;
        };
        // Wayland tells no window its place.
        let origin = canvas.window.inner_position().unwrap_or_default();
        let origin = (f64::from(origin.x), f64::from(origin.y));
        let size = self.show.session.size();
        let size = (f64::from(size.width), f64::from(size.height));
        bridge.tell(Told {
            has_keyboard: self.has_keyboard,
            place: Rect::from_origin_size(origin, size),
            tree: self.show.session.scene().accessible_tree(),
        });
    }

    fn paint(&mut self) {
        let Some(canvas) = &mut self.canvas else {
            return;
        };
        let session = &mut self.show.session;
        let now = Instant::now();
        if !session.frame_due(now) {
            // The window system asks, not the session: what it had of the window is lost.
            session.repaint();
        }
        let size = session.size();
        #[cfg_attr(
            not(feature = "gpu"),
            allow(
                clippy::infallible_destructuring_match,
                reason = "without cards there is one kind of surface"
            )
        )]
        let surface = match &mut canvas.surface {
            Surface::Memory(surface) => surface,
            #[cfg(feature = "gpu")]
            Surface::Card(card) => {
                canvas.window.pre_present_notify();
                let painted = session.render_by(now, |scene| card.render(scene, DESKTOP));
                let Err(error) = painted else {
                    return session.presented();
                };
                tracing::error!("{error}; from now on the processor paints");
                self.leave_card();
                return;
            }
        };
        let mut buffer = match surface.buffer_mut() {
            Ok(buffer) => buffer,
            Err(error) => return tracing::error!("the window has no buffer: {error}"),
        };
        let width = usize::try_from(size.width).unwrap_or(0);
        if width.saturating_mul(usize::try_from(size.height).unwrap_or(0)) != buffer.len() {
            return;
        }
        let age = buffer.age();
        let mut target = Target {
            pixels: &mut buffer,
            size,
            stride: width,
            age,
        };
        let changed: Vec<softbuffer::Rect> = session
            .render(DESKTOP, &mut target, now)
            .iter()
            .filter_map(damage)
            .collect();
        if changed.is_empty() {
            return;
        }
        canvas.window.pre_present_notify();
        if let Err(error) = buffer.present_with_damage(&changed) {
            tracing::error!("a frame could not be shown: {error}");
        }
        session.presented();
    }

    /// The card failed: the window goes on without it.
    #[cfg(feature = "gpu")]
    fn leave_card(&mut self) {
        let Some(canvas) = &mut self.canvas else {
            return;
        };
        match Surface::in_memory(&canvas.window) {
            Ok(surface) => canvas.surface = surface,
            Err(error) => return tracing::error!("the window has no buffer: {error}"),
        }
        let size = canvas.window.inner_size();
        self.show.session.repaint();
        self.resize(size);
    }

    fn input(&mut self, event: InputEvent) {
        self.show.session.input(event, Instant::now());
    }
}

impl ApplicationHandler<Wake> for Presenter {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.canvas.is_some() {
            return;
        }
        match self.open(events) {
            Ok(canvas) => {
                let size = canvas.window.inner_size();
                self.canvas = Some(canvas);
                self.resize(size);
            }
            Err(error) => {
                self.failure = Some(ShowError::NoDisplay(error));
                events.exit();
            }
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, wake: Wake) {
        if matches!(wake, Wake::Reader) {
            return self.tell();
        }
        // `about_to_wait` follows and looks at the session; the helper may wait again after that.
        self.show.step(&mut SpareCanvas, Instant::now());
        let _ = self.looked_at.send(());
    }

    fn about_to_wait(&mut self, events: &ActiveEventLoop) {
        let now = Instant::now();
        self.show.step(&mut SpareCanvas, now);
        if self.show.is_over() {
            events.exit();
            return;
        }
        if let Some(canvas) = self
            .canvas
            .as_ref()
            .filter(|_| self.show.session.frame_due(now))
        {
            canvas.window.request_redraw();
            // The redraw comes first, and after it another look.
            events.set_control_flow(ControlFlow::Wait);
            return;
        }
        events.set_control_flow(
            self.show
                .next_deadline()
                .map_or(ControlFlow::Wait, ControlFlow::WaitUntil),
        );
    }

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested => self.show.close(&mut SpareCanvas, Instant::now()),
            WindowEvent::Resized(size) => self.resize(size),
            WindowEvent::ScaleFactorChanged { .. } => {
                if let Some(size) = self
                    .canvas
                    .as_ref()
                    .map(|canvas| canvas.window.inner_size())
                {
                    self.resize(size);
                }
            }
            WindowEvent::RedrawRequested => {
                self.paint();
                self.tell();
            }
            WindowEvent::Focused(has_keyboard) => {
                self.has_keyboard = has_keyboard;
                if !has_keyboard {
                    self.input(InputEvent::KeyboardLost);
                }
                self.tell();
            }
            // Keys that were down before the window had the keyboard are reported as synthetic presses: not a person's act here.
            WindowEvent::KeyboardInput {
                event,
                is_synthetic: false,
                ..
            } => {
                if let Some(event) = key(&event) {
                    self.input(event);
                }
            }
            WindowEvent::CursorMoved { position, .. } => {
                let position = position.cast::<i32>();
                self.input(InputEvent::PointerMoved(Point::new(position.x, position.y)));
            }
            WindowEvent::CursorLeft { .. } => self.input(InputEvent::PointerLeft),
            WindowEvent::MouseInput { state, button, .. } => {
                if let Some(button) = button_code(button) {
                    self.input(InputEvent::Button {
                        button,
                        pressed: state == ElementState::Pressed,
                    });
                }
            }
            WindowEvent::MouseWheel { delta, .. } => self.input(wheel(delta)),
            _ => {}
        }
    }
}

/// On Linux winit's scan codes are evdev codes.
fn key(event: &KeyEvent) -> Option<InputEvent> {
    let PhysicalKey::Code(code) = event.physical_key else {
        return None;
    };
    let code = u16::try_from(code.to_scancode()?).ok()?;
    let movement = match event.state {
        _ if event.repeat => KeyMovement::Repeated,
        ElementState::Pressed => KeyMovement::Pressed,
        ElementState::Released => KeyMovement::Released,
    };
    Some(InputEvent::Key { code, movement })
}

fn button_code(button: MouseButton) -> Option<u16> {
    match button {
        MouseButton::Left => Some(0x110),
        MouseButton::Right => Some(0x111),
        MouseButton::Middle => Some(0x112),
        MouseButton::Back => Some(0x113),
        MouseButton::Forward => Some(0x114),
        MouseButton::Other(_) => None,
    }
}

fn wheel(delta: MouseScrollDelta) -> InputEvent {
    let (right, up) = match delta {
        MouseScrollDelta::LineDelta(right, up) => (f64::from(right) * NOTCH, f64::from(up) * NOTCH),
        MouseScrollDelta::PixelDelta(pixels) => (
            pixels.x / PIXELS_PER_NOTCH * NOTCH,
            pixels.y / PIXELS_PER_NOTCH * NOTCH,
        ),
    };
    // winit counts moving the content right as positive; a wheel turned right moves it left.
    InputEvent::Wheel {
        vertical: whole(up),
        horizontal: whole(-right),
    }
}

/// Rounds to a whole number within what a wheel can turn.
fn whole(value: f64) -> i32 {
    PhysicalSize::new(value.clamp(-1e6, 1e6), 0.0)
        .cast::<i32>()
        .width
}

fn damage(rect: &compositor::Rect) -> Option<softbuffer::Rect> {
    Some(softbuffer::Rect {
        x: u32::try_from(rect.left()).ok()?,
        y: u32::try_from(rect.top()).ok()?,
        width: NonZeroU32::new(rect.width())?,
        height: NonZeroU32::new(rect.height())?,
    })
}
