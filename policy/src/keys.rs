//! Every key of the language in one table: its form, its default and what it means.
//!
//! The reader takes its list of known keys from here, the schema for editors is made from it, and a test holds the
//! handbook page against it. A key that is not in this table does not exist.

/// How a key's value is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Text,
    Choice(&'static [&'static str]),
    Integer(i64, i64),
    Boolean,
    Instant,
    Size,
    Duration,
    CountRate,
    ByteRate,
    Hours,
    Chord,
    Colour,
    Hash,
    Mime,
    Host,
    Ending,
    Port,
    Usb,
    Pattern,
    Selector,
    ZoneName,
    Version,
    /// A list of values of one form.
    List(&'static Form),
    /// One value, or a list of them.
    OneOrMany(&'static Form),
    Table(&'static Section),
    /// Tables by a name that the author chooses.
    Named(&'static Section),
    /// An array of tables.
    Tables(&'static Section),
}

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) required: bool,
    /// The value that counts when the key is not written, as it would be written; empty where there is none.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

/// A table of the language.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    pub(crate) about: &'static str,
    pub(crate) keys: &'static [Key],
}

impl Section {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, form: Form, default: &'static str, about: &'static str) -> Key {
    Key {
        name,
        form,
        required: false,
        default,
        about,
    }
}

const fn required(name: &'static str, form: Form, about: &'static str) -> Key {
    Key {
        name,
        form,
        required: true,
        default: "",
        about,
    }
}

#[rustfmt::skip]
pub(crate) const KIND_NAMES: [&str; 15] = [
    "clipboard", "file", "url", "launch", "drag", "usb", "audio-in", "audio-out", "camera", "notification", "print",
    "screenshot", "snapshot", "network", "service",
];
pub(crate) const VERDICTS: [&str; 3] = ["deny", "ask", "allow"];
pub(crate) const RELATIONS: [&str; 5] = ["up", "same", "down", "not-down", "not-up"];
pub(crate) const SCRUBS: [&str; 4] = ["formatting", "metadata", "escapes", "links"];
pub(crate) const USB_EXTRAS: [&str; 3] = ["power-keys", "sysrq", "vendor-requests"];
pub(crate) const LOG_DETAILS: [&str; 3] = ["off", "brief", "full"];
pub(crate) const SHAPES: [&str; 8] = [
    "circle", "square", "triangle", "diamond", "pentagon", "hexagon", "star", "cross",
];
#[rustfmt::skip]
pub(crate) const ICONS: [&str; 16] = [
    "globe", "briefcase", "lock", "shield", "flask", "house", "star", "gear", "terminal", "envelope", "bank", "eye", "bug",
    "key", "person", "cloud",
];
pub(crate) const PERSISTENCE: [&str; 3] = ["disposable", "persistent", "revert-on-disconnect"];
pub(crate) const SURFACES: [&str; 2] = ["desktop", "applications"];
pub(crate) const FULLSCREEN: [&str; 2] = ["maximise", "refuse"];
pub(crate) const SCREENSHOTS: [&str; 2] = ["blacked-out", "visible"];
pub(crate) const FOCUS: [&str; 3] = ["click-or-chord", "click", "chord"];
pub(crate) const LAYERS: [&str; 7] = [
    "user",
    "namespaces",
    "root",
    "seccomp",
    "landlock",
    "no-new-privileges",
    "rlimits",
];
pub(crate) const CHORD_ACTIONS: [&str; 6] = [
    "focus-next",
    "focus-previous",
    "paste",
    "lock",
    "screenshot",
    "release-pointer",
];
pub(crate) const WHEN_FULL: [&str; 2] = ["deny-flows", "lock-zones"];
pub(crate) const AT_LOCKOUT: [&str; 2] = ["lock-zones", "deny-flows"];

/// The whole file.
pub(crate) static FILE: Section = Section {
    about: "A Bulkhead policy: one file says everything about an endpoint.",
    keys: &[
        key(
            "policy",
            Form::Table(&POLICY),
            "",
            "Who issued which version of this policy, and when it holds.",
        ),
        key(
            "zone",
            Form::Named(&ZONE),
            "",
            "The security zones by name, in the order in which the panel lists them.",
        ),
        key(
            "network",
            Form::Named(&NETWORK),
            "",
            "Network profiles by name; a zone names the one it uses.",
        ),
        key(
            "flow",
            Form::Tables(&FLOW),
            "",
            "What may cross a zone's edge. Their order never matters.",
        ),
        key(
            "input",
            Form::Table(&INPUT),
            "",
            "Keys that the endpoint keeps for itself, and how focus moves.",
        ),
        key(
            "jail",
            Form::Table(&JAIL),
            "",
            "What a zone process must have given up before it may run.",
        ),
        key(
            "lockout",
            Form::Table(&LOCKOUT),
            "",
            "What happens when the policy is not renewed in time.",
        ),
        key(
            "check",
            Form::Table(&CHECK),
            "",
            "What `bulkhead policy check` need not warn of.",
        ),
        key(
            "audit",
            Form::Table(&AUDIT),
            "",
            "What is recorded, and what happens when there is no room.",
        ),
    ],
};

pub(crate) static POLICY: Section = Section {
    about: "The header. It is needed in a policy that is signed and installed.",
    keys: &[
        required(
            "id",
            Form::Text,
            "The policy's name; an installed policy is replaced only by one of the same name.",
        ),
        required(
            "version",
            Form::Integer(1, i64::MAX),
            "Counts up with every change; an older one is never installed.",
        ),
        key(
            "issued",
            Form::Instant,
            "",
            "When this version was made; the lock-out counts from here.",
        ),
        key("not-before", Form::Instant, "", "From when it holds."),
        key("expires", Form::Instant, "", "Until when it holds."),
        key(
            "minimum-engine",
            Form::Version,
            "",
            "The oldest Bulkhead that understands it.",
        ),
        key(
            "previous",
            Form::Hash,
            "",
            "The hash of the policy file that this one replaces.",
        ),
        key(
            "comment",
            Form::Text,
            "",
            "For people; up to 500 characters.",
        ),
    ],
};

pub(crate) static ZONE: Section = Section {
    about: "One security zone: its machine, its marking, its budgets.",
    keys: &[
        key(
            "display-name",
            Form::Text,
            "the zone's name",
            "The name in frames and prompts, up to 40 characters.",
        ),
        key(
            "short-name",
            Form::Text,
            "from the name",
            "The name where room is short: 1 to 8 capital letters and digits.",
        ),
        key(
            "level",
            Form::Integer(0, 255),
            "0",
            "How sensitive its data is; higher is more sensitive.",
        ),
        key(
            "tags",
            Form::List(&Form::ZoneName),
            "[]",
            "Words by which flows may name several zones at once.",
        ),
        required("colour", Form::Colour, "The colour of its frames."),
        key(
            "shape",
            Form::Choice(&SHAPES),
            "\"square\"",
            "The shape in its frames, for those who cannot tell the colours apart.",
        ),
        key(
            "icon",
            Form::Choice(&ICONS),
            "\"globe\"",
            "The icon in its frames.",
        ),
        required(
            "image",
            Form::Text,
            "The guest image: a name, a hash \"sha256:…\", or both as \"name@sha256:…\".",
        ),
        key(
            "memory",
            Form::Size,
            "\"512 MiB\"",
            "The machine's memory, 64 MiB to 1024 GiB.",
        ),
        key("cpus", Form::Integer(1, 64), "2", "The machine's CPUs."),
        key(
            "persistence",
            Form::Choice(&PERSISTENCE),
            "\"disposable\"",
            "What is kept when the zone ends; revert-on-disconnect also throws away when its network goes.",
        ),
        key(
            "autostart",
            Form::Boolean,
            "false",
            "Whether it starts with the desktop.",
        ),
        key(
            "surface",
            Form::Choice(&SURFACES),
            "\"desktop\"",
            "One window for its desktop, or one for each application.",
        ),
        key(
            "fullscreen",
            Form::Choice(&FULLSCREEN),
            "\"maximise\"",
            "What a request for the whole screen becomes; frame and panel always stay.",
        ),
        key(
            "screenshots",
            Form::Choice(&SCREENSHOTS),
            "\"blacked-out\"",
            "Whether a picture of the whole desktop shows it.",
        ),
        key(
            "idle-lock",
            Form::Duration,
            "never",
            "After how long without anyone's input the desktop is locked while it runs.",
        ),
        key(
            "sensitive",
            Form::Boolean,
            "false",
            "No flow leads in or out, and no rule can give it any.",
        ),
        key(
            "network",
            Form::Text,
            "\"none\"",
            "The network profile it uses, or none.",
        ),
        key(
            "keyboard-layout",
            Form::Text,
            "\"us\"",
            "The keyboard layout that the guest uses, as XKB names it: \"de\", \"fr(oss)\".",
        ),
        key(
            "focus-chord",
            Form::Chord,
            "",
            "A chord that gives it the focus.",
        ),
        key(
            "budget",
            Form::Table(&BUDGET),
            "",
            "The most it may use of the endpoint.",
        ),
    ],
};

pub(crate) static BUDGET: Section = Section {
    about: "The most a zone may use of the endpoint.",
    keys: &[
        key("windows", Form::Integer(1, 1000), "64", "Windows at once."),
        key(
            "streams",
            Form::Integer(0, 1000),
            "64",
            "Open streams to services at once.",
        ),
        key(
            "descriptors",
            Form::Integer(16, 4096),
            "256",
            "Descriptors that its process may hold.",
        ),
        key(
            "messages",
            Form::CountRate,
            "\"20000/s\"",
            "Messages on its link.",
        ),
        key(
            "bytes",
            Form::ByteRate,
            "\"64 MiB/s\"",
            "Bytes on its link, pixels not counted.",
        ),
        key(
            "disk",
            Form::Size,
            "\"8 GiB\"",
            "What its overlay may grow to.",
        ),
    ],
};

pub(crate) static NETWORK: Section = Section {
    about: "A network profile: what the zones that use it may reach.",
    keys: &[
        key(
            "hosts",
            Form::OneOrMany(&Form::Host),
            "\"*\"",
            "The hosts they may reach.",
        ),
        key(
            "ports",
            Form::OneOrMany(&Form::Port),
            "any",
            "The ports they may reach, written as texts.",
        ),
        key(
            "connected",
            Form::OneOrMany(&Form::Pattern),
            "any",
            "The networks that the endpoint must be connected to.",
        ),
        key("comment", Form::Text, "", "For people."),
    ],
};

pub(crate) static FLOW: Section = Section {
    about: "One rule. Every rule that fits counts: deny beats ask, ask beats allow; where none fits, the answer is deny.",
    keys: &[
        key(
            "name",
            Form::Text,
            "its line",
            "What records and explanations call the rule.",
        ),
        required(
            "kind",
            Form::OneOrMany(&Form::Choice(&KIND_NAMES)),
            "What crosses.",
        ),
        key(
            "from",
            Form::OneOrMany(&Form::Selector),
            "host, where the kind comes from the endpoint",
            "From where.",
        ),
        key(
            "to",
            Form::OneOrMany(&Form::Selector),
            "host, where the kind goes to the endpoint",
            "To where.",
        ),
        key(
            "levels",
            Form::Choice(&RELATIONS),
            "any",
            "Only where the receiver's level stands so to the sender's.",
        ),
        required("verdict", Form::Choice(&VERDICTS), "The answer."),
        key(
            "when",
            Form::Table(&WHEN),
            "",
            "Conditions; the rule fits only where all of them hold.",
        ),
        key(
            "then",
            Form::Table(&THEN),
            "",
            "What else happens where the rule decides.",
        ),
    ],
};

pub(crate) static WHEN: Section = Section {
    about: "Conditions of a rule. A fact that is not known counts against crossing: it does not fit an allow, and does fit a deny.",
    keys: &[
        key(
            "mime",
            Form::OneOrMany(&Form::Mime),
            "any",
            "Media types of the data.",
        ),
        key(
            "extensions",
            Form::OneOrMany(&Form::Ending),
            "any",
            "Endings of the file's name.",
        ),
        key(
            "max-bytes",
            Form::Size,
            "any",
            "The largest size. Not for a deny.",
        ),
        key(
            "over-bytes",
            Form::Size,
            "any",
            "Only what is larger than this.",
        ),
        key(
            "rate",
            Form::CountRate,
            "any",
            "How often, per rule and pair of zones. Not for a deny.",
        ),
        key(
            "byte-rate",
            Form::ByteRate,
            "any",
            "How many bytes, per rule and pair of zones. Not for a deny.",
        ),
        key(
            "time-to-live",
            Form::Duration,
            "any",
            "How long after the copy it may be delivered. Not for a deny.",
        ),
        key(
            "schemes",
            Form::OneOrMany(&Form::Text),
            "any",
            "URL schemes.",
        ),
        key(
            "hosts",
            Form::OneOrMany(&Form::Host),
            "any",
            "Hosts of URLs and network connections.",
        ),
        key(
            "ports",
            Form::OneOrMany(&Form::Port),
            "any",
            "Ports of network connections.",
        ),
        key(
            "applications",
            Form::OneOrMany(&Form::Pattern),
            "any",
            "Applications to launch.",
        ),
        key(
            "services",
            Form::OneOrMany(&Form::Pattern),
            "any",
            "Names of services.",
        ),
        key(
            "arguments",
            Form::OneOrMany(&Form::Pattern),
            "any",
            "The argument of a service or a launch.",
        ),
        key("usb", Form::OneOrMany(&Form::Usb), "any", "USB devices."),
        key(
            "hours",
            Form::Hours,
            "any",
            "A part of the day, in local time.",
        ),
        key(
            "days",
            Form::OneOrMany(&Form::Choice(&crate::values::DAY_NAMES)),
            "any",
            "Days of the week, in local time.",
        ),
        key(
            "connected",
            Form::OneOrMany(&Form::Pattern),
            "any",
            "Networks that the endpoint is connected to.",
        ),
    ],
};

pub(crate) static THEN: Section = Section {
    about: "What else happens where a rule decides.",
    keys: &[
        key("notify", Form::Boolean, "false", "Tell the user."),
        key(
            "scrub",
            Form::OneOrMany(&Form::Choice(&SCRUBS)),
            "[]",
            "What is taken out of the data on its way.",
        ),
        key(
            "log",
            Form::Choice(&LOG_DETAILS),
            "\"brief\"",
            "How much of it is recorded.",
        ),
        key(
            "redirect",
            Form::ZoneName,
            "",
            "The zone that receives it instead; that is decided again.",
        ),
        key(
            "grants",
            Form::OneOrMany(&Form::Text),
            "\"once\"",
            "What the user may choose at a prompt: once, session, or a duration. Only for an ask.",
        ),
        key(
            "usb-passes",
            Form::OneOrMany(&Form::Choice(&USB_EXTRAS)),
            "[]",
            "What of a USB device passes that else does not.",
        ),
        key(
            "type-code",
            Form::Boolean,
            "false",
            "A keyboard counts only after a code that the endpoint shows was typed on it.",
        ),
    ],
};

pub(crate) static INPUT: Section = Section {
    about: "Keys that the endpoint keeps for itself, and how focus moves.",
    keys: &[
        key(
            "attention-key",
            Form::Chord,
            "\"Ctrl+Alt+Escape\"",
            "The secure attention key: always brings the trusted UI, never seen by a zone.",
        ),
        key(
            "focus",
            Form::Choice(&FOCUS),
            "\"click-or-chord\"",
            "What moves the focus.",
        ),
        key(
            "arm-delay",
            Form::Duration,
            "\"1 s\"",
            "How long a prompt waits before it takes a key or a click; 0.2 s to 10 s.",
        ),
        key(
            "chords",
            Form::Table(&CHORDS),
            "",
            "Chords for the endpoint's own acts.",
        ),
    ],
};

pub(crate) static CHORDS: Section = Section {
    about: "Chords for the endpoint's own acts.",
    keys: &[
        key(
            "focus-next",
            Form::Chord,
            "\"Super+Tab\"",
            "Gives the focus to the next zone.",
        ),
        key(
            "focus-previous",
            Form::Chord,
            "\"Shift+Super+Tab\"",
            "Gives the focus to the zone before.",
        ),
        key(
            "paste",
            Form::Chord,
            "\"Super+V\"",
            "Brings what was copied last in another zone to the focused one, if the policy lets it.",
        ),
        key("lock", Form::Chord, "\"Super+L\"", "Locks the desktop."),
        key(
            "screenshot",
            Form::Chord,
            "\"Super+Print\"",
            "Takes a picture of the desktop.",
        ),
        key(
            "release-pointer",
            Form::Chord,
            "\"Super+Escape\"",
            "Frees the pointer.",
        ),
    ],
};

pub(crate) static JAIL: Section = Section {
    about: "What a zone process must have given up before it may run.",
    keys: &[key(
        "required",
        Form::List(&Form::Choice(&LAYERS)),
        "all",
        "Layers without which no zone starts.",
    )],
};

pub(crate) static CHECK: Section = Section {
    about: "What `bulkhead policy check` need not warn of.",
    keys: &[key(
        "accepted-ways",
        Form::List(&Form::Text),
        "[]",
        "Indirect ways from a higher to a lower level that are meant, written \"from -> to\".",
    )],
};

pub(crate) static LOCKOUT: Section = Section {
    about: "What happens when the policy is not renewed in time.",
    keys: &[
        required(
            "after",
            Form::Duration,
            "How long after `issued` this version may be used.",
        ),
        key(
            "warn",
            Form::Duration,
            "\"3 days\"",
            "How long before that the panel says so.",
        ),
        key(
            "then",
            Form::Choice(&AT_LOCKOUT),
            "\"lock-zones\"",
            "What happens then.",
        ),
    ],
};

pub(crate) static AUDIT: Section = Section {
    about: "What is recorded, and what happens when there is no room.",
    keys: &[
        key(
            "record",
            Form::List(&Form::Choice(&VERDICTS)),
            "all",
            "Verdicts that are recorded.",
        ),
        key(
            "segment",
            Form::Size,
            "\"16 MiB\"",
            "The size at which a log file is closed with a signed checkpoint; 64 KiB to 1 GiB.",
        ),
        key(
            "keep",
            Form::Integer(2, 100_000),
            "64",
            "How many closed files are kept.",
        ),
        key(
            "when-full",
            Form::Choice(&WHEN_FULL),
            "\"deny-flows\"",
            "What happens when a record cannot be written: flows that need one are denied, or all zones are locked.",
        ),
    ],
};

pub(crate) static TRUST: Section = Section {
    about: "The keys whose signatures let a policy in.",
    keys: &[
        required(
            "threshold",
            Form::Integer(1, 64),
            "How many of the keys must have signed.",
        ),
        required("key", Form::Tables(&TRUSTED_KEY), "The keys."),
    ],
};

pub(crate) static TRUSTED_KEY: Section = Section {
    about: "A key that is trusted.",
    keys: &[
        required("name", Form::Text, "Whose key it is."),
        required(
            "public",
            Form::Text,
            "The public key: \"ed25519:\" and 64 hexadecimal digits.",
        ),
    ],
};

pub(crate) static EXPECTATIONS: Section = Section {
    about: "Verdicts that a policy must give.",
    keys: &[
        key(
            "expect",
            Form::Tables(&EXPECT),
            "",
            "Requests and their verdicts.",
        ),
        key(
            "no-path",
            Form::Tables(&NO_PATH),
            "",
            "Zones whose data must not arrive in others, through any number of hops.",
        ),
    ],
};

/// What may be said of a request.
pub(crate) const FACTS: [Key; 13] = [
    key(
        "mime",
        Form::Text,
        "not known",
        "The media type of the data.",
    ),
    key("file", Form::Text, "not known", "The file's name."),
    key(
        "bytes",
        Form::Text,
        "not known",
        "The size, such as \"64 KiB\".",
    ),
    key(
        "age",
        Form::Duration,
        "not known",
        "How long ago it was copied.",
    ),
    key("url", Form::Text, "not known", "The URL."),
    key("host", Form::Text, "not known", "The host to connect to."),
    key("port", Form::Text, "not known", "The port to connect to."),
    key(
        "application",
        Form::Text,
        "not known",
        "The application to launch.",
    ),
    key("service", Form::Text, "not known", "The service."),
    key(
        "argument",
        Form::Text,
        "not known",
        "The argument of a service or a launch.",
    ),
    key(
        "usb",
        Form::Text,
        "not known",
        "The device: \"id=046d:c31c class=03:01:01 usage=keyboard serial=1 port=1-2\".",
    ),
    key(
        "connected",
        Form::OneOrMany(&Form::Text),
        "not known",
        "The networks that the endpoint is connected to.",
    ),
    key(
        "time",
        Form::Text,
        "not known",
        "The local time and its offset.",
    ),
];

pub(crate) static EXPECT: Section = Section {
    about: "A request and its verdict. What is not said of it is not known.",
    keys: &[
        required("kind", Form::Choice(&KIND_NAMES), "What crosses."),
        key(
            "from",
            Form::Text,
            "host, where the kind comes from there",
            "The sender.",
        ),
        key(
            "to",
            Form::Text,
            "host, where the kind goes there",
            "The receiver.",
        ),
        required(
            "verdict",
            Form::Choice(&VERDICTS),
            "The verdict that it must get.",
        ),
        key("rule", Form::Text, "any", "A rule that must decide."),
        key("target", Form::Text, "any", "Where it must go."),
        key("comment", Form::Text, "", "For people."),
        FACTS[0],
        FACTS[1],
        FACTS[2],
        FACTS[3],
        FACTS[4],
        FACTS[5],
        FACTS[6],
        FACTS[7],
        FACTS[8],
        FACTS[9],
        FACTS[10],
        FACTS[11],
        FACTS[12],
    ],
};

pub(crate) static NO_PATH: Section = Section {
    about: "Zones whose data must not arrive in others, through any number of hops.",
    keys: &[
        required("from", Form::Selector, "The zones from which."),
        required("to", Form::Selector, "The zones to which."),
        key(
            "unless",
            Form::Choice(&["asked"]),
            "never",
            "\"asked\": ways on which the user is asked may be.",
        ),
        key(
            "outside",
            Form::Boolean,
            "false",
            "Whether ways through networks and USB devices count.",
        ),
        key("comment", Form::Text, "", "For people."),
    ],
};
