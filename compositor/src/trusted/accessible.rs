//! What is on the trusted screens, as a tree for screen readers and other help.
//!
//! It holds what the endpoint itself says and shows, and nothing of what zones draw. It is read only: every control can be
//! reached by keys, and what is asked for through such a tree is not a person's act, so no request of that way is taken.
//! Neither is what is typed at the lock screen in it.

use accesskit::{Action, Node, NodeId, Role, Toggled, TreeId, TreeInfo, TreeUpdate};

use super::paint::{self, PageLook};
use super::{Control, Layout, Page};
use crate::geometry::Rect;
use crate::icons::Sign;
use crate::panel::{Item, PanelZone};
use crate::theme::Metrics;
use crate::trusted::views::Health;
use crate::zone::{ZoneId, ZoneState};

const ROOT: NodeId = NodeId(0);
const PANEL: NodeId = NodeId(1);
const PAGE: NodeId = NodeId(2);
const PASSPHRASE: NodeId = NodeId(3);
/// Where the numbers of the panel's and the page's own nodes begin.
const PANEL_PARTS: u64 = 1 << 20;
const PAGE_PARTS: u64 = 1 << 21;
const CONTROLS: u64 = 1 << 22;

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

    /// The whole tree over an output's area.
    pub(crate) fn finish(mut self, area: Rect) -> TreeUpdate {
        let mut root = node(Role::Window, area);
        root.set_label("Bulkhead");
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
        let mut parts = Vec::new();
        let focused = look.zones.iter().find(|zone| zone.focused);
        let said = match focused {
            Some(zone) => format!("{} {}", zone.identity.name, words.has_keyboard),
            None if look.ui.page().is_some() => format!("Bulkhead {}", words.has_keyboard),
            None => words.nobody.to_owned(),
        };
        parts.push(text(Role::Status, area, &said));
        for (id, place) in chips {
            if let Some(zone) = look.zones.iter().find(|zone| zone.identity.id == *id) {
                let mut chip = focusable(Role::Button, *place);
                chip.set_label(described(zone, look));
                parts.push(chip);
            }
        }
        for (number, (place, shown)) in workspaces.iter().enumerate() {
            let mut mark = focusable(Role::RadioButton, *place);
            mark.set_label(words.workspace.replace("{}", &(number + 1).to_string()));
            mark.set_toggled(Toggled::from(*shown));
            parts.push(mark);
        }
        for (item, place) in status {
            parts.push(match item {
                Item::Words(words) => text(Role::Label, *place, words),
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
                    text(Role::Status, *place, &format!("{of}: {how}"))
                }
            });
        }
        let mut group = node(Role::Toolbar, area);
        group.set_label(words.panel);
        let parts = (PANEL_PARTS..).map(NodeId).zip(parts).collect();
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
        let mut parts: Vec<(NodeId, Node)> = (PAGE_PARTS..)
            .map(NodeId)
            .zip(texts(page, layout, look))
            .collect();
        if page == Page::Lock {
            let mut field = focusable(Role::PasswordInput, layout.area);
            field.set_label(look.words.passphrase);
            parts.push((PASSPHRASE, field));
            self.focus = PASSPHRASE;
        } else {
            self.focus = PAGE;
        }
        let armed = look.ui.is_armed(look.now);
        for (number, (id, (place, control))) in
            (CONTROLS..).map(NodeId).zip(&layout.controls).enumerate()
        {
            let mut node = control_node(*place, *control, look);
            if !armed {
                node.set_disabled();
            }
            if look.ui.selected() == number && page != Page::Lock {
                self.focus = id;
            }
            parts.push((id, node));
        }
        let picture = paint::work_picture(layout.area, metrics);
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
            self.focus = work.tree.focus.unwrap_or(PAGE);
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
        self.group(PAGE, group, parts);
    }
}

/// What a page says beside its controls, in the order it is read.
fn texts(page: Page, layout: &Layout, look: &PageLook<'_>) -> Vec<Node> {
    let words = look.words;
    let mut said: Vec<String> = Vec::new();
    match page {
        Page::Attention => {
            let phrase = look.ui.phrase.as_ref();
            let phrase = phrase.map_or(words.no_phrase, |phrase| phrase.as_str());
            said.push(format!("{}: {phrase}", words.phrase_is));
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
            said.extend(look.lock_lines().map(|(words, _)| words));
        }
        Page::Work(_) => said.push(look.phrase()),
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

/// Words that are read; for what is no control they are its value.
fn text(role: Role, place: Rect, words: &str) -> Node {
    let mut node = node(role, place);
    node.set_value(words);
    node
}
