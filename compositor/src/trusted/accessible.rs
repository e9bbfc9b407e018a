//! What is on the trusted screens, as a tree for screen readers and other help.
//!
//! It holds what the endpoint itself says and shows, and nothing of what zones draw. It is read only: every control can be
//! reached by keys, and what is asked for through such a tree is not a person's act, so no request of that way is taken.
//! Whoever shares the desktop around Bulkhead's window may listen, so neither the secret phrase nor anything of what is typed
//! at the lock screen is in it, not even how much.
//!
//! A node keeps its number for as long as it is the same thing to a person, and no longer: readers speak what is new, and what
//! they are told is [live](Live) they speak when its words change.

use accesskit::{Action, Live, Node, NodeId, Role, Toggled, TreeId, TreeInfo, TreeUpdate};

use super::look::{LockLine, PageLook};
use super::work::WorkPage;
use super::{Control, Layout, Page};
use super::{paint, places};
use crate::geometry::Rect;
use crate::icons::Sign;
use crate::panel::{Item, PanelZone};
use crate::theme::Metrics;
use crate::trusted::views::Health;
use crate::trusted::words::Language;
use crate::zone::{ZoneId, ZoneState};

const ROOT: NodeId = NodeId(0);
const PANEL: NodeId = NodeId(1);
/// Who has the keyboard.
const KEYBOARD: NodeId = NodeId(2);

/// The parts of the panel by kind, and the pages: each has 2^32 numbers.
const ZONES: u64 = 1;
const WORKSPACES: u64 = 2;
const WORDS: u64 = 3;
const NOTICES: u64 = 4;
const PAGES: u64 = 16;
const PROMPTS: u64 = 1 << 24;
/// Within a page's numbers: the page itself is 0.
const PASSPHRASE: u64 = 1;
const TEXTS: u64 = 1 << 16;
const CONTROLS: u64 = 1 << 17;

fn number(kind: u64, at: u64) -> NodeId {
    NodeId((kind << 32) | at)
}

/// Numbers in a row.
fn numbers(kind: u64, from: u64) -> impl Iterator<Item = NodeId> {
    (from..).map(move |at| number(kind, at))
}

/// The numbers of a page: another question is another page.
fn page_kind(page: Page, look: &PageLook<'_>) -> u64 {
    match page {
        Page::Attention => PAGES,
        Page::Overview => PAGES + 1,
        Page::Lock => PAGES + 2,
        Page::Work(page) => {
            PAGES
                + 3
                + (0..)
                    .zip(WorkPage::ALL)
                    .find(|(_, known)| *known == page)
                    .map_or(0, |(at, _)| at)
        }
        Page::Prompt => PROMPTS + look.ui.prompt().map_or(0, |prompt| prompt.id.0 % PROMPTS),
    }
}

/// The tree while it grows.
pub(crate) struct Growing {
    nodes: Vec<(NodeId, Node)>,
    top: Vec<NodeId>,
    focus: NodeId,
}

impl Growing {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            top: Vec::new(),
            focus: ROOT,
        }
    }

    /// The whole tree over an output's area, in the language of its words.
    pub(crate) fn finish(mut self, area: Rect, language: Language) -> TreeUpdate {
        let mut root = node(Role::Window, area);
        root.set_label("Bulkhead");
        root.set_language(language.code());
        root.set_children(self.top);
        self.nodes.push((ROOT, root));
        TreeUpdate {
            nodes: self.nodes,
            tree: Some(TreeInfo::new(ROOT)),
            tree_id: TreeId::ROOT,
            focus: self.focus,
        }
    }

    fn group(&mut self, id: NodeId, mut group: Node, parts: Vec<(NodeId, Node)>) {
        group.set_children(parts.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        self.nodes.extend(parts);
        self.nodes.push((id, group));
        self.top.push(id);
    }

    /// The panel of an output: who has the keyboard, the zones, the workspaces, and the signs.
    pub(crate) fn panel(
        &mut self,
        area: Rect,
        look: &PageLook<'_>,
        chips: &[(ZoneId, Rect)],
        workspaces: &[(Rect, bool)],
        status: &[(Item<'_>, Rect)],
    ) {
        let words = look.words;
        let focused = look.zones.iter().find(|zone| zone.focused);
        let said = match focused {
            Some(zone) => format!("{} {}", zone.identity.name, words.has_keyboard),
            None if look.ui.page().is_some() => format!("Bulkhead {}", words.has_keyboard),
            None => words.nobody.to_owned(),
        };
        let mut keyboard = text(Role::Status, area, &said);
        // Whose the next key is goes before whatever else is being spoken.
        keyboard.set_live(Live::Assertive);
        let mut parts = vec![(KEYBOARD, keyboard)];
        for (id, place) in chips {
            if let Some(zone) = look.zones.iter().find(|zone| zone.identity.id == *id) {
                let mut chip = focusable(Role::Button, *place);
                chip.set_label(described(zone, look));
                let number = number(ZONES, id.0.into());
                if zone.focused {
                    // Readers that know nothing of live words speak where the focus goes.
                    self.focus = number;
                }
                parts.push((number, chip));
            }
        }
        for (at, (place, shown)) in (0..).zip(workspaces) {
            let mut mark = focusable(Role::RadioButton, *place);
            mark.set_label(words.workspace.replace("{}", &(at + 1).to_string()));
            mark.set_toggled(Toggled::from(*shown));
            parts.push((number(WORKSPACES, at), mark));
        }
        let (mut plain, mut notices) = (numbers(WORDS, 0), numbers(NOTICES, 0));
        for (item, place) in status {
            let (numbers, node): (&mut dyn Iterator<Item = NodeId>, Node) = match item {
                Item::Words(words) => (&mut plain, text(Role::Label, *place, words)),
                Item::Notice(words) => {
                    let mut notice = text(Role::Status, *place, words);
                    notice.set_live(Live::Polite);
                    (&mut notices, notice)
                }
                Item::Sign(sign, health) => {
                    let of = match sign {
                        Sign::Policy => words.policy,
                        Sign::Audit => words.audit,
                        Sign::Usb => words.usb,
                        _ => words.network,
                    };
                    let how = match health {
                        Health::Warned => words.warned,
                        _ => words.good,
                    };
                    (
                        &mut plain,
                        text(Role::Status, *place, &format!("{of}: {how}")),
                    )
                }
            };
            parts.extend(numbers.next().map(|number| (number, node)));
        }
        let mut group = node(Role::Toolbar, area);
        group.set_label(words.panel);
        self.group(PANEL, group, parts);
    }

    /// The page that is up.
    pub(crate) fn page(
        &mut self,
        page: Page,
        layout: &Layout,
        metrics: &Metrics,
        look: &PageLook<'_>,
    ) {
        let kind = page_kind(page, look);
        let sheet = number(kind, 0);
        let mut parts: Vec<(NodeId, Node)> = numbers(kind, TEXTS)
            .zip(texts(page, layout, look))
            .collect();
        self.focus = sheet;
        if page == Page::Lock {
            let mut field = focusable(Role::PasswordInput, layout.area);
            let name = look.words.passphrase;
            let refused = look
                .lock_lines()
                .find(|(line, _)| *line == LockLine::Refused);
            // Readers that know nothing of live words speak a new name of what has the focus.
            field.set_label(match refused {
                Some((_, refused)) => format!("{name}. {refused}"),
                None => name.to_owned(),
            });
            self.focus = number(kind, PASSPHRASE);
            parts.push((self.focus, field));
        }
        let armed = look.ui.is_armed(look.now);
        for (at, (id, (place, control))) in
            numbers(kind, CONTROLS).zip(&layout.controls).enumerate()
        {
            let mut node = control_node(*place, *control, look);
            if !armed {
                node.set_disabled();
            }
            if look.ui.selected() == at && page != Page::Lock {
                self.focus = id;
            }
            parts.push((id, node));
        }
        let picture = places::work_picture(layout.area, metrics);
        let work = &look.ui.work;
        let pictured = matches!(page, Page::Work(_)) && work.size == picture.size();
        let mut others = Vec::new();
        if pictured {
            let (x, y) = (f64::from(picture.left()), f64::from(picture.top()));
            for (id, node) in &work.tree.nodes {
                let mut node = node.clone();
                if let Some(bounds) = node.bounds() {
                    node.set_bounds(bounds + accesskit::Vec2::new(x, y));
                }
                if work.tree.top.contains(id) {
                    parts.push((*id, node));
                } else {
                    others.push((*id, node));
                }
            }
            self.focus = work.tree.focus.unwrap_or(sheet);
        }
        self.nodes.extend(others);
        let role = if page == Page::Prompt {
            Role::AlertDialog
        } else {
            Role::Dialog
        };
        let mut group = node(role, layout.area);
        group.set_label(look.title(page));
        group.set_modal();
        self.group(sheet, group, parts);
    }
}

/// What a page says beside its controls, in the order it is read.
fn texts(page: Page, layout: &Layout, look: &PageLook<'_>) -> Vec<Node> {
    let words = look.words;
    let phrase = match look.ui.phrase {
        Some(_) => words.phrase_unspoken,
        None => words.no_phrase,
    };
    let phrase = format!("{}: {phrase}", words.phrase_is);
    let mut said: Vec<String> = Vec::new();
    match page {
        Page::Attention => {
            said.push(phrase);
            said.push(words.phrase_rule.to_owned());
            said.extend(look.zones.iter().map(|zone| described(zone, look)));
        }
        Page::Overview => said.extend(look.zones.iter().map(|zone| described(zone, look))),
        Page::Prompt => {
            if let Some(prompt) = look.ui.prompt() {
                said.push(format!("{} {}", look.full_name(prompt.from), words.wants));
                if let Some(to) = prompt.to {
                    said.push(format!("\u{2192} {}", look.full_name(to)));
                }
                if prompt.withdrawn {
                    said.push(words.withdrawn.to_owned());
                } else {
                    said.push(prompt.question.to_string());
                    if !prompt.detail.is_empty() {
                        said.push(format!("{} {}", words.it_says, prompt.detail));
                    }
                }
                if !look.ui.is_armed(look.now) {
                    said.push(words.wait.to_owned());
                }
            }
        }
        Page::Lock => {
            // The focus stays where it is, so what came of an attempt has to be spoken by itself; a wait that is counted
            // down must not be.
            let spoken = |(line, words): (LockLine, String)| {
                let mut node = text(Role::Label, layout.area, &words);
                node.set_live(match line {
                    LockLine::Refused => Live::Assertive,
                    LockLine::Why | LockLine::Wait => Live::Off,
                });
                node
            };
            return look.lock_lines().map(spoken).collect();
        }
        Page::Work(_) => said.push(phrase),
    }
    said.iter()
        .map(|words| text(Role::Label, layout.area, words))
        .collect()
}

fn control_node(place: Rect, control: Control, look: &PageLook<'_>) -> Node {
    let role = match control {
        Control::Open(_) => Role::Link,
        _ => Role::Button,
    };
    let mut node = focusable(role, place);
    node.set_label(spoken(control, look));
    node
}

/// What a control is to somebody who does not see where it stands.
fn spoken(control: Control, look: &PageLook<'_>) -> String {
    match control {
        Control::Show(zone) | Control::Command(zone, _) => {
            format!("{}: {}", look.label(control), look.full_name(zone))
        }
        _ => look.label(control).into_owned(),
    }
}

/// A zone in words: its name and how it fares.
fn described(zone: &PanelZone<'_>, look: &PageLook<'_>) -> String {
    let words = look.words;
    let mut said = format!("{}, {}", zone.identity.name, paint::state(zone, words));
    if zone.focused || look.ui.resume == Some(zone.identity.id) {
        let keyboard = if zone.focused {
            words.has_keyboard
        } else {
            words.had_keyboard
        };
        said = format!("{said}, {keyboard}");
    }
    if zone.hidden {
        said = format!("{said}, {}", words.hidden);
    }
    for remark in paint::marks(zone.identity, words) {
        said = format!("{said}, {remark}");
    }
    if let ZoneState::Dark(why) = zone.state {
        said = format!("{said}: {why}");
    }
    said
}

fn node(role: Role, place: Rect) -> Node {
    let mut node = Node::new(role);
    node.set_bounds(accesskit::Rect {
        x0: place.left().into(),
        y0: place.top().into(),
        x1: place.right().into(),
        y1: place.bottom().into(),
    });
    node
}

/// Something that keys can select: such nodes say that they take focus.
fn focusable(role: Role, place: Rect) -> Node {
    let mut node = node(role, place);
    node.add_action(Action::Focus);
    node
}

/// Words that are read. A label's words are its value, for readers of any other node they are its name.
fn text(role: Role, place: Rect, words: &str) -> Node {
    let mut node = node(role, place);
    match role {
        Role::Label => node.set_value(words),
        _ => node.set_label(words),
    }
    node
}
