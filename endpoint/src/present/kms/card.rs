//! The graphics card: which one, who has it, and which screens hang on it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use compositor::Scale;
use drm::control::{Device as ControlDevice, Event, Mode, ModeTypeFlags, connector, crtc};
use drm::{Device, DriverCapability};
use rustix::io::Errno;

use super::KmsError;
use super::screen::Screen;

/// A card that is ours: nothing else can show pixels on it meanwhile.
#[derive(Debug)]
pub(super) struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
impl Device for Card {}
impl ControlDevice for Card {}

/// A screen that is plugged in, and what it is to show.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) connector: connector::Handle,
    pub(super) crtc: crtc::Handle,
    pub(super) mode: Mode,
    pub(super) scale: Scale,
    name: String,
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.mode.size();
        let Self { name, mode, .. } = self;
        write!(out, "{name}: {width} x {height} at {} Hz", mode.vrefresh())
    }
}

/// The cards that there are, the first one first.
pub(super) fn paths() -> impl Iterator<Item = PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/dev/dri")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("card")?.parse();
            Some((number.ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path)
}

impl Card {
    /// Takes the first card that has a screen, or else the first that could have one.
    pub(super) fn open() -> Result<Self, KmsError> {
        let mut spare = None;
        let mut refused = None;
        for path in paths() {
            match Self::open_one(path) {
                Ok(Some((card, true))) => return Ok(card),
                Ok(Some((card, false))) => {
                    spare.get_or_insert(card);
                }
                Ok(None) => {}
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        match (spare, refused) {
            (Some(card), _) => Ok(card),
            (None, Some(error)) => Err(error),
            (None, None) => Err(KmsError::NoCard),
        }
    }

    /// A card and whether a screen is on it. `None`: it only computes, or cannot give plain buffers.
    fn open_one(path: PathBuf) -> Result<Option<(Self, bool)>, KmsError> {
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(source) => return Err(KmsError::NotAllowed { path, source }),
        };
        rustix::io::ioctl_fionbio(&file, true).map_err(|errno| KmsError::Card {
            act: "answer at once",
            source: errno.into(),
        })?;
        let card = Self(file);
        let Ok(resources) = card.resource_handles() else {
            return Ok(None);
        };
        let buffers = card.get_driver_capability(DriverCapability::DumbBuffer);
        if resources.connectors().is_empty() || buffers.unwrap_or(0) == 0 {
            return Ok(None);
        }
        if let Err(source) = card.acquire_master_lock() {
            return Err(match Errno::from_io_error(&source) {
                Some(Errno::ACCESS | Errno::PERM) => KmsError::NotAllowed { path, source },
                _ => KmsError::InUse { path, source },
            });
        }
        let lit = !card.wanted(&[])?.is_empty();
        Ok(Some((card, lit)))
    }

    /// The screens that are plugged in, in the order of the connectors. Those in `lit` keep the part of the card that drives them.
    pub(super) fn wanted(&self, lit: &[Screen]) -> Result<Vec<Wanted>, KmsError> {
        let failed = |act| move |source| KmsError::Card { act, source };
        let resources = self.resource_handles().map_err(failed("say what it has"))?;
        let mut wanted: Vec<Wanted> = Vec::new();
        for handle in resources.connectors() {
            // A connector can go away between the two questions, as with docks.
            let Ok(info) = self.get_connector(*handle, true) else {
                continue;
            };
            let Some(mode) = best_mode(&info) else {
                continue;
            };
            let free = |crtc: &crtc::Handle| {
                wanted.iter().all(|wanted| wanted.crtc != *crtc)
                    && lit
                        .iter()
                        .all(|screen| screen.connector() == *handle || screen.crtc() != *crtc)
            };
            let kept = lit
                .iter()
                .find(|screen| screen.connector() == *handle)
                .map(Screen::crtc);
            let possible = info.encoders().iter().flat_map(|encoder| {
                self.get_encoder(*encoder)
                    .map(|encoder| resources.filter_crtcs(encoder.possible_crtcs()))
                    .unwrap_or_default()
            });
            let Some(crtc) = kept.into_iter().chain(possible).find(free) else {
                tracing::warn!("{info} stays dark: the card drives no more screens");
                continue;
            };
            wanted.push(Wanted {
                connector: *handle,
                crtc,
                mode,
                scale: scale(mode.size(), info.size()),
                name: info.to_string(),
            });
        }
        Ok(wanted)
    }

    /// Whose new frames are on the screen now.
    pub(super) fn flipped(&self) -> Result<Vec<crtc::Handle>, KmsError> {
        let events = match self.receive_events() {
            Ok(events) => events,
            Err(source) if source.kind() == std::io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(source) => {
                let act = "say when a frame was shown";
                return Err(KmsError::Card { act, source });
            }
        };
        let flipped = |event| match event {
            Event::PageFlip(flip) => Some(flip.crtc),
            _ => None,
        };
        Ok(events.filter_map(flipped).collect())
    }
}

/// The mode that the screen likes best. `None`: nothing is plugged in.
fn best_mode(info: &connector::Info) -> Option<Mode> {
    if info.state() != connector::State::Connected {
        return None;
    }
    let preferred = |mode: &&Mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED);
    let modes = info.modes();
    modes.iter().find(preferred).or(modes.first()).copied()
}

/// The scale at which a screen of so many pixels and millimetres shows text about as large as one of 96 dots per inch, in quarters.
/// Screens that do not know their size, or say something odd (projectors give an aspect ratio), are not scaled.
fn scale((width, _): (u16, u16), millimetres: Option<(u32, u32)>) -> Scale {
    let across = millimetres.map_or(0, |(across, _)| across);
    if across < 100 {
        return Scale::ONE;
    }
    // 25.4 mm are an inch; a quarter of 96 dots per inch is 24.
    let quarters = u64::from(width) * 254 / (u64::from(across) * 240);
    Scale::from_120ths(u32::try_from(quarters.clamp(4, 12) * 30).unwrap_or(120))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_are_scaled_by_what_a_person_sees() {
        let quarters = |pixels, millimetres| scale(pixels, millimetres).in_120ths() / 30;
        assert_eq!(quarters((1280, 800), None), 4);
        assert_eq!(quarters((1920, 1080), Some((16, 9))), 4);
        assert_eq!(quarters((1920, 1080), Some((527, 296))), 4, "24 inches");
        assert_eq!(quarters((1920, 1080), Some((309, 174))), 6, "14 inches");
        assert_eq!(quarters((3840, 2160), Some((596, 335))), 6, "27 inches");
        assert_eq!(quarters((2880, 1800), Some((302, 189))), 10, "14 inches");
        assert_eq!(quarters((u16::MAX, 1), Some((100, 1))), 12);
        assert_eq!(quarters((1, 1), Some((u32::MAX, 1))), 4);
    }
}
