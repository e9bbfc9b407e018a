//! `bulkhead run`: everything is checked before anything is shown.

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_policy::Policy;
use clap::ValueEnum;
use compositor::{HostKey, Scale, Settings, Size, Theme};
use endpoint::audit::AuditLog;
use endpoint::images::{ImageSource, StoreImages};
use endpoint::policy_source::PolicySource;
use endpoint::present::{Ending, Show, ShowError, headless};
use endpoint::script::{Player, Script};
use endpoint::state_directory::StateDirectory;
use endpoint::usb::{Places, Usb};
use endpoint::{Options, Services, Session, required_layers};
use guest_image::Store;
use zone_jail::{Jail, Layers};

use super::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A policy file that nobody needs to have signed, in place of the one that is installed.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where the installed policy is: zones, their images, and what may cross between them.
    #[arg(long, value_name = "DIR", default_value = bulkhead_policy_cli::STORE, conflicts_with = "policy")]
    policy_store: PathBuf,
    /// Open no window: pixels stay in memory, for automation and tests.
    #[arg(long)]
    headless: bool,
    /// Take the machine's screens, keyboards and pointers, with neither X nor Wayland [default: where neither is there, but a graphics card].
    #[cfg(feature = "kms")]
    #[arg(long, conflicts_with = "headless")]
    kms: bool,
    /// Let the graphics card put the window's pixels together, by Vulkan.
    #[cfg(feature = "gpu")]
    #[arg(long)]
    gpu: bool,
    /// The desktop's size in pixels; a window can be resized later.
    #[arg(long, value_name = "WxH", default_value = "1280x800", value_parser = size)]
    size: Size,
    /// How many pixels make one of 96 dots per inch, 1 to 4: for pictures without a screen, which would say it.
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = scale, requires = "headless")]
    scale: Scale,
    /// End after so many seconds.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Save a picture of the desktop as a PNG file just before the end.
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Play an input script; headless, its end is the end unless --for says otherwise.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Where guest images are [default: the user's data directory].
    #[arg(long, value_name = "DIR")]
    image_store: Option<PathBuf>,
    /// Where the audit log, console logs and homes of persistent zones are kept [default: the user's state directory].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The zone program [default: bulkhead-zone beside this program].
    #[arg(long, value_name = "FILE")]
    zone_program: Option<PathBuf>,
    /// The key that makes chords; no zone ever sees it.
    #[arg(long, value_enum, default_value = "super")]
    host_key: HostKeyChoice,
    /// Colours of frames, panel and pages [default: as chosen on the settings page].
    #[arg(long, value_enum)]
    theme: Option<ThemeChoice>,
    /// Tell screen readers of the desktop around the window nothing of Bulkhead's own screens.
    #[cfg(feature = "window")]
    #[arg(long)]
    no_accessibility: bool,
    /// Larger text in frames, panel and pages, whatever was chosen there.
    #[arg(long)]
    large_text: bool,
    /// How many seconds zones may take to shut down before they are killed.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    shutdown_after: Duration,
    /// Let debuggers look into zones and steer them, by `bulkhead zone debug`: for development, never for secrets.
    #[arg(long)]
    debug_zones: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HostKeyChoice {
    /// Either Super key.
    Super,
    /// The right Control key, where the desktop around the window keeps Super for itself.
    RightControl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ThemeChoice {
    /// Light text on dark surfaces.
    Dark,
    /// Dark text on light surfaces.
    Light,
    /// Black, white and full colours.
    HighContrast,
}

pub(super) fn run(arguments: &Arguments, verbose: u8) -> Result<(), Failure> {
    let (source, policy) = arguments.policy()?;
    let player = arguments
        .script
        .as_deref()
        .map(read_script)
        .transpose()?
        .map(Player::new);
    arguments.show(source, policy, player, verbose)
}

impl Arguments {
    /// The policy that was named, and whence it comes.
    pub(super) fn policy(&self) -> Result<(PolicySource, Policy), Failure> {
        let source = match &self.policy {
            Some(file) => PolicySource::File(file.clone()),
            None => PolicySource::Store(self.policy_store.clone()),
        };
        let policy = source
            .load()
            .map_err(|error| Failure::from_error(Failure::POLICY, &error))?
            .policy;
        Ok((source, policy))
    }

    /// Shows the policy's desktop to its end, with a script's player where there is one.
    pub(super) fn show(
        &self,
        source: PolicySource,
        policy: Policy,
        player: Option<Player>,
        verbose: u8,
    ) -> Result<(), Failure> {
        let images = find_images(self, &policy)?;
        rehearse_jail(&policy)?;
        let session = open_session(self, policy, source, images, verbose)?;
        let ending = Ending {
            after: self.duration,
            with_script: self.headless && self.duration.is_none(),
            picture: self.screenshot.clone(),
        };
        let mut show = Show::new(session, player, ending, Instant::now()).map_err(failed)?;
        show.session.start_automatic_zones();
        present(self, show).map_err(failed)
    }
}

fn open_session(
    arguments: &Arguments,
    policy: Policy,
    source: PolicySource,
    images: StoreImages,
    verbose: u8,
) -> Result<Session, Failure> {
    let general = |error: &dyn std::error::Error| Failure::from_error(Failure::GENERAL, error);
    let place = arguments
        .state_dir
        .clone()
        .unwrap_or_else(StateDirectory::usual_place);
    let state = StateDirectory::open(place).map_err(|error| general(&error))?;
    let chosen = state
        .look()
        .map_or_else(Settings::default, |look| look.apply(Settings::default()));
    let audit = AuditLog::open(&state.audit_log(), &state.audit_key(), &policy.audit);
    let audit = audit.map_err(|error| general(&error))?;
    let program = zone_program(arguments)?;
    let services = Services {
        images: Arc::new(images),
        audit: Box::new(audit),
        launcher: Box::new(move |_| Process::new(&program)),
        state: state.clone(),
        policy: source,
    };
    let host_key = match arguments.host_key {
        HostKeyChoice::Super => HostKey::Super,
        HostKeyChoice::RightControl => HostKey::RightControl,
    };
    let theme = arguments.theme.map(|theme| match theme {
        ThemeChoice::Dark => Theme::Dark,
        ThemeChoice::Light => Theme::Light,
        ThemeChoice::HighContrast => Theme::HighContrast,
    });
    let options = Options {
        size: arguments.size,
        scale: arguments.scale,
        settings: Settings {
            theme: theme.unwrap_or(chosen.theme),
            large_text: arguments.large_text || chosen.large_text,
            host_key,
            ..chosen
        },
        clock: !arguments.headless,
        shutdown_after: arguments.shutdown_after,
        log_consoles: verbose > 0,
        debug_zones: arguments.debug_zones,
    };
    let mut session = Session::new(policy, services, options)
        .map_err(|error| Failure::from_error(Failure::POLICY, &error))?;
    open_doors(&state, &mut session);
    Ok(session)
}

/// A desktop without USB devices, or without orders from programs, is a desktop all the same.
fn open_doors(state: &StateDirectory, session: &mut Session) {
    let added = Places::usual(state.usb_door())
        .and_then(Usb::new)
        .and_then(|usb| session.add_devices(usb));
    if let Err(error) = added {
        tracing::warn!("no USB device can be given to a zone: {error}");
    }
    if let Err(error) = session.open_door(&state.zones_door()) {
        tracing::warn!("`bulkhead zone` will not find this desktop: {error}");
    }
}

fn present(arguments: &Arguments, show: Show) -> Result<(), ShowError> {
    if arguments.headless {
        return headless::run(show);
    }
    #[cfg(feature = "kms")]
    if arguments.kms || !has_window_system() && endpoint::present::kms::has_card() {
        return endpoint::present::kms::run(show);
    }
    #[cfg(feature = "window")]
    {
        let bridge = accessibility_program(arguments);
        let painter = painter(arguments);
        endpoint::present::window::run(show, arguments.size, painter, bridge.as_deref())
    }
    #[cfg(not(feature = "window"))]
    return Err(ShowError::NoDisplay(
        "this program was built without windows".into(),
    ));
}

/// The program that tells screen readers, where there is one and it is wanted.
#[cfg(feature = "window")]
fn accessibility_program(arguments: &Arguments) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let program = program.with_file_name("bulkhead-accessibility");
    (!arguments.no_accessibility && program.exists()).then_some(program)
}

#[cfg(feature = "window")]
fn painter(arguments: &Arguments) -> endpoint::present::window::Painter {
    use endpoint::present::window::Painter;
    match arguments {
        #[cfg(feature = "gpu")]
        Arguments { gpu: true, .. } => Painter::Card,
        _ => Painter::Processor,
    }
}

/// Whether this program was started from a desktop.
#[cfg(feature = "kms")]
fn has_window_system() -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The script's own file and line lead its message.
fn failed(error: ShowError) -> Failure {
    let code = match &error {
        ShowError::Script(_) => Failure::SCRIPT,
        ShowError::NoDisplay(_) => Failure::DISPLAY,
        #[cfg(feature = "window")]
        ShowError::Libraries(_) => Failure::DISPLAY,
        #[cfg(feature = "kms")]
        ShowError::Screen(_) => Failure::DISPLAY,
        _ => Failure::GENERAL,
    };
    Failure::from_error(code, &error)
}

fn read_script(path: &Path) -> Result<Script, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Failure::SCRIPT,
            format!("the script {name} cannot be read: {error}"),
        )
    })?;
    Script::parse(&name.to_string(), &text)
        .map_err(|error| Failure::from_error(Failure::SCRIPT, &error))
}

/// Every zone's image must be there, also those of zones that start later: better told now than in the middle of work.
fn find_images(arguments: &Arguments, policy: &Policy) -> Result<StoreImages, Failure> {
    let store = arguments
        .image_store
        .clone()
        .unwrap_or_else(StateDirectory::usual_image_store);
    let images = StoreImages::new(Store::new(store));
    let mut mistakes = String::new();
    for zone in &policy.zones {
        if let Err(error) = images.find(&zone.image) {
            let message = format!("zone {} has no image: {}", zone.name, error.message);
            let diagnostic = policy.error_at(
                zone.image.span,
                "missing-image",
                message,
                error.mend.to_string(),
            );
            mistakes.push_str(&format!("\n{diagnostic}"));
        }
    }
    if mistakes.is_empty() {
        Ok(images)
    } else {
        Err(Failure::new(Failure::IMAGE, mistakes.trim_start()))
    }
}

/// Tries the jail before a window opens: what a zone process would lack, this host lacks for all of them.
fn rehearse_jail(policy: &Policy) -> Result<(), Failure> {
    let required = required_layers(&policy.jail.required);
    let report = Jail::new(Layers::default()).rehearse();
    let report = report.map_err(|error| Failure::from_error(Failure::JAIL, &error))?;
    let missing: Vec<String> = report
        .missing()
        .iter()
        .filter(|(layer, _)| required.contains(*layer))
        .map(|(layer, reason)| format!("\n  {layer}: {reason}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "this host cannot jail zones as {} requires; missing are:{}\nRun on a host that has them, or leave them out of `required` in \
         the policy's [jail] table: zones then run in a weaker jail, and the panel says so.",
        policy.source().name(),
        missing.concat()
    );
    Err(Failure::new(Failure::JAIL, text))
}

fn zone_program(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let found = match &arguments.zone_program {
        Some(program) => Ok(program.clone()),
        None => endpoint::installed_zone_program(),
    };
    let program = found.map_err(|error| {
        Failure::new(
            Failure::GENERAL,
            format!("this program's place is unknown: {error}"),
        )
    })?;
    if program.is_file() {
        return Ok(program);
    }
    let text = format!(
        "the zone program {} is not there; install it beside bulkhead or name it by --zone-program",
        program.display()
    );
    Err(Failure::new(Failure::GENERAL, text))
}

fn size(text: &str) -> Result<Size, String> {
    let parse = |side: &str| {
        side.parse::<u32>()
            .ok()
            .filter(|side| (320..=16_384).contains(side))
    };
    let sides = text
        .split_once('x')
        .and_then(|(width, height)| Some((parse(width)?, parse(height)?)));
    sides
        .map(|(width, height)| Size::new(width, height))
        .ok_or_else(|| "write it as 1280x800, each side 320 to 16384".to_owned())
}

fn scale(text: &str) -> Result<Scale, String> {
    let factor = text.parse::<f64>().ok();
    factor
        .filter(|factor| (1.0..=4.0).contains(factor))
        .map(Scale::from_factor)
        .ok_or_else(|| "write a factor from 1 to 4, such as 1.25".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=1e9).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write a number of seconds".to_owned())
}
