//! The layers by name, and sets of them.

use std::fmt;
use std::str::FromStr;

/// One thing that a zone process gives up.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Layer {
    /// No descriptor is open but the standard ones and the link.
    ClosedDescriptors,
    /// No core dumps, few descriptors, no real-time priority.
    ResourceLimits,
    /// Not root; started as root, a user id that no other process has.
    UnprivilegedUser,
    /// A user namespace in which no id is mapped.
    UserNamespace,
    /// Mounts of its own.
    MountNamespace,
    /// Sees no process but its own.
    PidNamespace,
    /// A network without a single interface that is up.
    NetworkNamespace,
    /// System V IPC and POSIX message queues of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// Does not see where it stands in the control groups.
    CgroupNamespace,
    /// The root directory is empty and read-only, and nothing else is mounted.
    EmptyRoot,
    /// No program it starts could gain a privilege.
    NoNewPrivileges,
    /// No capability, and no way to one.
    NoCapabilities,
    /// Landlock: no file can be opened, made or removed.
    Landlock,
    /// Landlock: no TCP port can be bound or connected to.
    LandlockNetwork,
    /// Landlock: no abstract socket and no signal reaches a process outside.
    LandlockScope,
    /// A list of allowed system calls; any other one ends the process.
    Seccomp,
}

impl Layer {
    /// Every layer, in the order of a report.
    pub const ALL: [Self; 17] = [
        Self::ClosedDescriptors,
        Self::ResourceLimits,
        Self::UnprivilegedUser,
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::EmptyRoot,
        Self::NoNewPrivileges,
        Self::NoCapabilities,
        Self::Landlock,
        Self::LandlockNetwork,
        Self::LandlockScope,
        Self::Seccomp,
    ];

    /// The layer's name in policies, on command lines and on the zone link.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClosedDescriptors => "closed-descriptors",
            Self::ResourceLimits => "resource-limits",
            Self::UnprivilegedUser => "unprivileged-user",
            Self::UserNamespace => "user-namespace",
            Self::MountNamespace => "mount-namespace",
            Self::PidNamespace => "pid-namespace",
            Self::NetworkNamespace => "network-namespace",
            Self::IpcNamespace => "ipc-namespace",
            Self::UtsNamespace => "uts-namespace",
            Self::CgroupNamespace => "cgroup-namespace",
            Self::EmptyRoot => "empty-root",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::NoCapabilities => "no-capabilities",
            Self::Landlock => "landlock",
            Self::LandlockNetwork => "landlock-network",
            Self::LandlockScope => "landlock-scope",
            Self::Seccomp => "seccomp",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no layer has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no jail layer `{name}`; the layers are {}", Layers::all())]
pub struct UnknownLayer {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, UnknownLayer> {
        let found = Self::ALL.into_iter().find(|layer| layer.name() == name);
        found.ok_or_else(|| UnknownLayer {
            name: name.to_owned(),
        })
    }
}

/// A set of layers. Its text form is the names with commas between them; the empty text is the empty set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Every layer.
    #[must_use]
    pub fn all() -> Self {
        Layer::ALL.into_iter().collect()
    }

    /// True when `layer` is in the set.
    #[must_use]
    pub fn contains(&self, layer: Layer) -> bool {
        self.0.contains(&layer)
    }

    /// The layers in the order of [`Layer::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Layer> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Layer> for Layers {
    fn from_iter<I: IntoIterator<Item = Layer>>(layers: I) -> Self {
        let mut layers: Vec<Layer> = layers.into_iter().collect();
        layers.sort_unstable();
        layers.dedup();
        Self(layers)
    }
}

impl FromStr for Layers {
    type Err = UnknownLayer;

    fn from_str(names: &str) -> Result<Self, UnknownLayer> {
        names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            write!(formatter, "{layer}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_survive_their_text_form() {
        assert_eq!(Layers::all().to_string().parse(), Ok(Layers::all()));
        assert_eq!("".parse(), Ok(Layers::default()));
        let some: Layers = " seccomp, landlock,seccomp".parse().unwrap();
        assert_eq!(some.to_string(), "landlock,seccomp");
        assert!(some.contains(Layer::Seccomp) && !some.contains(Layer::EmptyRoot));
    }

    #[test]
    fn unknown_names_are_told_with_the_known_ones() {
        let error = "seccomp,chroot".parse::<Layers>().unwrap_err();
        assert!(error.to_string().contains("`chroot`") && error.to_string().contains("empty-root"));
    }
}
