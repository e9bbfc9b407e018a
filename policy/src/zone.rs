//! Zones: what the policy says of each machine, its marking and its budgets.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::chord::Chord;
use crate::colour::Colour;
use crate::diagnostic::{Diagnostic, Span};
use crate::keys;
use crate::names::{ZoneName, check_shown_text};
use crate::tree::{At, Table};
use crate::values::{ByteSize, Mistake, Rate};

/// Makes an enum whose variants are the words of a key, in the order of the table of keys.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident from $words:path { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $name {
            /// All of them, in the order of the handbook.
            pub const ALL: [Self; $words.len()] = [$(Self::$variant),+];

            /// The word in the policy.
            pub fn as_str(self) -> &'static str {
                $words.get(self as usize).copied().unwrap_or("")
            }

            #[allow(dead_code, reason = "not every kind of word is read from texts")]
            pub(crate) fn from_index(index: usize) -> Option<Self> {
                Self::ALL.get(index).copied()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The shape in a zone's frames.
    Shape from keys::SHAPES {
        /// A disc.
        Circle,
        /// A square.
        Square,
        /// A triangle that stands on its side.
        Triangle,
        /// A square that stands on its corner.
        Diamond,
        /// Five corners.
        Pentagon,
        /// Six corners.
        Hexagon,
        /// Five points.
        Star,
        /// An upright cross.
        Cross,
    }
}

words! {
    /// The icon in a zone's frames.
    Icon from keys::ICONS {
        /// A globe.
        Globe,
        /// A briefcase.
        Briefcase,
        /// A padlock.
        Lock,
        /// A shield.
        Shield,
        /// A laboratory flask.
        Flask,
        /// A house.
        House,
        /// A star.
        Star,
        /// A gear wheel.
        Gear,
        /// A prompt in a box.
        Terminal,
        /// An envelope.
        Envelope,
        /// A building with columns.
        Bank,
        /// An eye.
        Eye,
        /// A beetle.
        Bug,
        /// A key.
        Key,
        /// Head and shoulders.
        Person,
        /// A cloud.
        Cloud,
    }
}

words! {
    /// What is kept of a zone when it ends.
    Persistence from keys::PERSISTENCE {
        /// Nothing.
        Disposable,
        /// Its home volume.
        Persistent,
        /// Its home volume until its network is disconnected, then nothing.
        RevertOnDisconnect,
    }
}

words! {
    /// How a zone's windows appear.
    Surface from keys::SURFACES {
        /// One window that shows its desktop.
        Desktop,
        /// One window for each application.
        Applications,
    }
}

words! {
    /// What a zone's request for the whole screen becomes.
    Fullscreen from keys::FULLSCREEN {
        /// The largest window between panel and edges.
        Maximise,
        /// Nothing.
        Refuse,
    }
}

words! {
    /// Whether a picture of the desktop shows a zone.
    ScreenshotRule from keys::SCREENSHOTS {
        /// Its windows are black in the picture.
        BlackedOut,
        /// It shows.
        Visible,
    }
}

/// A guest image as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name in the image store; none where only the hash is given.
    pub name: Option<String>,
    /// The SHA-256 of its manifest; none where only the name is given.
    pub sha256: Option<[u8; 32]>,
    /// Where the policy says so.
    pub span: Span,
}

impl std::fmt::Display for Image {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(name) = &self.name {
            formatter.write_str(name)?;
        }
        if let Some(hash) = &self.sha256 {
            write!(
                formatter,
                "{}sha256:{}",
                if self.name.is_some() { "@" } else { "" },
                crate::values::hex(hash)
            )?;
        }
        Ok(())
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most that a zone may use of the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Windows at once.
    pub windows: u32,
    /// Open streams at once.
    pub streams: u32,
    /// Descriptors that the zone process may hold.
    pub descriptors: u32,
    /// Messages on the link.
    pub messages: Rate,
    /// Bytes on the link, pixels not counted.
    pub bytes: Rate,
    /// What the overlay may grow to.
    pub disk: ByteSize,
}

impl Default for Budget {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            windows: 64,
            streams: 64,
            descriptors: 256,
            messages: Rate {
                amount: 20_000,
                window: second,
            },
            bytes: Rate {
                amount: 64 << 20,
                window: second,
            },
            disk: ByteSize(8 << 30),
        }
    }
}

/// A security zone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Zone {
    /// The name by which rules call it.
    pub name: ZoneName,
    /// The name in frames and prompts.
    pub display_name: String,
    /// The name where room is short: 1 to 8 capital letters and digits.
    pub short_name: String,
    /// How sensitive its data is.
    pub level: u8,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// The colour of its frames.
    pub colour: Colour,
    /// The shape in its frames.
    pub shape: Shape,
    /// The icon in its frames.
    pub icon: Icon,
    /// Its guest image.
    pub image: Image,
    /// Its memory in MiB.
    pub memory_mib: u32,
    /// Its CPUs.
    pub cpus: u8,
    /// What is kept when it ends.
    pub persistence: Persistence,
    /// Whether it starts with the desktop.
    pub autostart: bool,
    /// One window or many.
    pub surface: Surface,
    /// What a request for the whole screen becomes.
    pub fullscreen: Fullscreen,
    /// Whether a picture of the desktop shows it.
    pub screenshots: ScreenshotRule,
    /// After how long without anyone's input the desktop is locked while it runs.
    pub idle_lock: Option<Duration>,
    /// Whether every flow in and out is denied, whatever the rules say.
    pub sensitive: bool,
    /// The name of its network profile.
    pub network: Option<String>,
    /// Its keyboard layout as XKB names it.
    pub keyboard_layout: String,
    /// The chord that gives it the focus.
    pub focus_chord: Option<Chord>,
    /// The most it may use of the endpoint.
    pub budget: Budget,
    /// The place of its name.
    pub span: Span,
    pub(crate) spans: ZoneSpans,
}

/// Places of keys that later checks speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneSpans {
    pub(crate) colour: Span,
    pub(crate) display_name: Option<Span>,
    pub(crate) short_name: Option<Span>,
    pub(crate) sensitive: Option<Span>,
    pub(crate) network: Option<Span>,
    pub(crate) focus_chord: Option<Span>,
}

impl Zone {
    /// Reads a zone. What it lacks is reported, and filled in so that the rest can be checked.
    pub(crate) fn read(name: ZoneName, table: &Table<'_>) -> Self {
        let shown = |key: &'static str, limit: usize| {
            table.parsed(key, |text| {
                check_shown_text(text, limit).map_err(|reason| {
                    Mistake::new(
                        reason,
                        format!("write a text of up to {limit} characters that is easy to read"),
                    )
                })?;
                Ok(text.to_owned())
            })
        };
        let display_name = shown("display-name", 40);
        let short_name = table.parsed("short-name", short_name);
        let level = table
            .integer("level")
            .and_then(|level| u8::try_from(level.value).ok())
            .unwrap_or(0);
        let mut tags = table
            .parsed_list("tags", true, tag)
            .map_or_else(Vec::new, |tags| {
                tags.value.into_iter().map(|tag| tag.value).collect()
            });
        tags.sort();
        tags.dedup();
        let colour = table.parsed("colour", Colour::parse);
        let shape = table
            .choice("shape", &keys::SHAPES)
            .and_then(|at| Shape::from_index(at.value))
            .unwrap_or(Shape::Square);
        let icon = table
            .choice("icon", &keys::ICONS)
            .and_then(|at| Icon::from_index(at.value))
            .unwrap_or(Icon::Globe);
        let image = table
            .parsed("image", image)
            .map(|At { value, span }| Image { span, ..value });
        let memory = table.size("memory", 64 << 20, 1 << 40).and_then(|size| {
            if size.value.0 & 0xf_ffff != 0 {
                table.error(
                    size.span,
                    "bad-value",
                    format!("`memory` of zone \"{name}\" is no whole number of MiB"),
                    "write a size such as \"512 MiB\"",
                );
                return None;
            }
            u32::try_from(size.value.mebibytes()).ok()
        });
        let cpus = table
            .integer("cpus")
            .and_then(|cpus| u8::try_from(cpus.value).ok())
            .unwrap_or(2);
        let persistence = table
            .choice("persistence", &keys::PERSISTENCE)
            .and_then(|at| Persistence::from_index(at.value));
        let autostart = table.boolean("autostart").is_some_and(|at| at.value);
        let surface = table
            .choice("surface", &keys::SURFACES)
            .and_then(|at| Surface::from_index(at.value));
        let fullscreen = table
            .choice("fullscreen", &keys::FULLSCREEN)
            .and_then(|at| Fullscreen::from_index(at.value));
        let screenshots = table
            .choice("screenshots", &keys::SCREENSHOTS)
            .and_then(|at| ScreenshotRule::from_index(at.value));
        let idle_lock = table.duration("idle-lock").map(|at| at.value);
        let sensitive = table.boolean("sensitive");
        let network = table.parsed("network", |text| Ok(text.to_owned()));
        if let (Some(At { value: true, span }), Some(network)) = (
            &sensitive,
            network.as_ref().filter(|network| network.value != "none"),
        ) {
            let message = format!(
                "zone \"{name}\" is sensitive, so nothing may leave it, yet it uses network \"{}\"",
                crate::diagnostic::shown(&network.value)
            );
            let diagnostic =
                Diagnostic::error(table.source(), network.span, "contradiction", message);
            table.add(
                diagnostic
                    .related(table.source(), *span, "sensitive here")
                    .mend("leave out one of the two"),
            );
        }
        let keyboard_layout = table
            .parsed("keyboard-layout", keyboard_layout)
            .map_or_else(|| "us".to_owned(), |at| at.value);
        let focus_chord = table.parsed("focus-chord", Chord::parse);
        let budget = table
            .table("budget", "the budget")
            .map_or_else(Budget::default, |table| read_budget(&table));
        let spans = ZoneSpans {
            colour: colour.as_ref().map_or(table.span, |at| at.span),
            display_name: display_name.as_ref().map(|at| at.span),
            short_name: short_name.as_ref().map(|at| at.span),
            sensitive: sensitive.as_ref().map(|at| at.span),
            network: network.as_ref().map(|at| at.span),
            focus_chord: focus_chord.as_ref().map(|at| at.span),
        };
        Self {
            display_name: display_name.map_or_else(|| name.as_str().to_owned(), |at| at.value),
            short_name: short_name.map_or_else(|| default_short_name(&name), |at| at.value),
            level,
            tags,
            colour: colour.map_or(
                Colour {
                    red: 0,
                    green: 0,
                    blue: 0,
                },
                |at| at.value,
            ),
            shape,
            icon,
            image: image.unwrap_or(Image {
                name: None,
                sha256: None,
                span: table.span,
            }),
            memory_mib: memory.unwrap_or(512),
            cpus,
            persistence: persistence.unwrap_or(Persistence::Disposable),
            autostart,
            surface: surface.unwrap_or(Surface::Desktop),
            fullscreen: fullscreen.unwrap_or(Fullscreen::Maximise),
            screenshots: screenshots.unwrap_or(ScreenshotRule::BlackedOut),
            idle_lock,
            sensitive: sensitive.is_some_and(|at| at.value),
            network: network
                .map(|at| at.value)
                .filter(|network| network != "none"),
            keyboard_layout,
            focus_chord: focus_chord.map(|at| at.value),
            budget,
            span: table.span,
            spans,
            name,
        }
    }
}

fn read_budget(table: &Table<'_>) -> Budget {
    let default = Budget::default();
    let number = |key, default| {
        table
            .integer(key)
            .and_then(|at| u32::try_from(at.value).ok())
            .unwrap_or(default)
    };
    Budget {
        windows: number("windows", default.windows),
        streams: number("streams", default.streams),
        descriptors: number("descriptors", default.descriptors),
        messages: table
            .parsed("messages", Rate::parse_count)
            .map_or(default.messages, |at| at.value),
        bytes: table
            .parsed("bytes", Rate::parse_bytes)
            .map_or(default.bytes, |at| at.value),
        disk: table
            .size("disk", 1 << 20, 1 << 50)
            .map_or(default.disk, |at| at.value),
    }
}

fn short_name(text: &str) -> Result<String, Mistake> {
    let fits = (1..=8).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Mistake::new(
            format!("{:?} is no short name", crate::diagnostic::shown(text)),
            "write 1 to 8 of A-Z and 0-9",
        ))
    }
}

fn default_short_name(name: &ZoneName) -> String {
    name.as_str()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

/// Checks a tag: the same rules as for a zone's name, so that both are easy to tell from one another.
pub(crate) fn tag(text: &str) -> Result<String, Mistake> {
    match ZoneName::parse(text) {
        Ok(tag) => Ok(tag.as_str().to_owned()),
        Err(error) => {
            let mend = error.suggestion().map_or_else(
                || "write a tag of a-z, 0-9 and -".to_owned(),
                |near| format!("write \"{near}\""),
            );
            Err(Mistake::new(
                format!(
                    "the tag {:?} will not do: {error}",
                    crate::diagnostic::shown(text)
                ),
                mend,
            ))
        }
    }
}

fn keyboard_layout(text: &str) -> Result<String, Mistake> {
    let word = |word: &str, more: &[u8]| {
        !word.is_empty()
            && word.len() <= 32
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    let fits = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((layout, variant)) => word(layout, b"_") && word(variant, b"_-"),
        None => word(text, b"_"),
    };
    let wrong = || {
        Mistake::new(
            format!("{:?} is no keyboard layout", crate::diagnostic::shown(text)),
            "write it as XKB names it, such as \"us\", \"de\" or \"fr(oss)\"",
        )
    };
    if fits {
        Ok(text.to_owned())
    } else {
        Err(wrong())
    }
}

fn image(text: &str) -> Result<Image, Mistake> {
    let mend = "write a name of a-z, 0-9, - and ., a hash \"sha256:…\" of 64 hexadecimal digits, or both as \"name@sha256:…\"";
    let wrong = || {
        Mistake::new(
            format!("{:?} names no image", crate::diagnostic::shown(text)),
            mend,
        )
    };
    let (name, hash) = match text.split_once('@') {
        Some((name, hash)) => (Some(name), Some(hash)),
        None if text.starts_with("sha256:") => (None, Some(text)),
        None => (Some(text), None),
    };
    let name_fits = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)
            })
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    if name.is_some_and(|name| !name_fits(name)) {
        return Err(wrong());
    }
    let sha256 = hash
        .map(|hash| crate::values::parse_sha256(hash).ok_or_else(wrong))
        .transpose()?;
    Ok(Image {
        name: name.map(str::to_owned),
        sha256,
        span: Span::default(),
    })
}
