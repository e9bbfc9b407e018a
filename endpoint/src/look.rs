//! How the trusted UI looks and reads keys, as a person chose it on the settings page: kept in the state directory.

use compositor::{KeyboardLayout, Language, Settings, Theme};
use serde::{Deserialize, Serialize};

/// What a person may choose. What the policy says of input is no part of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    #[serde(with = "theme")]
    theme: Theme,
    large_text: bool,
    german: bool,
    german_keyboard: bool,
}

impl Look {
    /// The choices in some settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            theme: settings.theme,
            large_text: settings.large_text,
            german: settings.language == Language::German,
            german_keyboard: settings.keyboard == KeyboardLayout::German,
        }
    }

    /// Settings with these choices.
    #[must_use]
    pub fn apply(self, settings: Settings) -> Settings {
        Settings {
            theme: self.theme,
            large_text: self.large_text,
            language: if self.german {
                Language::German
            } else {
                Language::English
            },
            keyboard: if self.german_keyboard {
                KeyboardLayout::German
            } else {
                KeyboardLayout::English
            },
            ..settings
        }
    }
}

/// A theme as a word.
mod theme {
    use compositor::Theme;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const WORDS: [(&str, Theme); 3] = [
        ("dark", Theme::Dark),
        ("light", Theme::Light),
        ("high-contrast", Theme::HighContrast),
    ];

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(super) fn serialize<S: Serializer>(theme: &Theme, to: S) -> Result<S::Ok, S::Error> {
        let word = WORDS.iter().find(|(_, known)| known == theme);
        word.map_or("dark", |(word, _)| word).serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Theme, D::Error> {
        let word = String::deserialize(from)?;
        let found = WORDS.iter().find(|(known, _)| *known == word);
        found
            .map(|(_, theme)| *theme)
            .ok_or_else(|| serde::de::Error::custom("no theme is called so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_back_and_what_the_policy_says_stays() {
        let policy = Settings {
            arm_delay: std::time::Duration::from_secs(3),
            ..Settings::default()
        };
        for theme in [Theme::Dark, Theme::Light, Theme::HighContrast] {
            let chosen = Settings {
                theme,
                large_text: true,
                language: Language::German,
                keyboard: KeyboardLayout::German,
                ..Settings::default()
            };
            let text = serde_json::to_string(&Look::of(&chosen)).unwrap();
            let read: Look = serde_json::from_str(&text).unwrap();
            let applied = read.apply(policy);
            assert_eq!(Look::of(&applied), Look::of(&chosen));
            assert_eq!(applied.arm_delay, policy.arm_delay);
        }
    }
}
