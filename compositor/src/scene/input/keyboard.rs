//! Keys: to chords, to a page of the trusted UI, or to the one focused zone; and what happens when focus moves.

use super::super::{Arrangement, FocusBy, Scene};
use crate::chords::{Chord, Direction, Modifiers};
use crate::geometry::Rect;
use crate::input::{Action, KeyMovement, ZoneInput};
use crate::keys;
use crate::zone::ZoneId;

impl Scene {
    pub(in crate::scene) fn key(&mut self, code: u16, movement: KeyMovement) {
        if movement == KeyMovement::Repeated {
            // Guests see held keys and repeat for themselves; a repeat never is a person's act.
            return;
        }
        let pressed = movement == KeyMovement::Pressed;
        if self.settings.host_key.is(code) {
            if pressed {
                self.input.host.insert(code);
            } else {
                self.input.host.remove(&code);
            }
            return;
        }
        if !pressed {
            return self.key_up(code);
        }
        let host = !self.input.host.is_empty();
        if keys::is_modifier(code) {
            if host {
                self.input.swallowed.insert(code);
                return;
            }
            self.input.modifiers.insert(code);
            if self.trusted.page().is_some() {
                return;
            }
            if self.live_focus().is_some() && self.chords.involve(code) {
                if !self.input.held.contains(&code) && !self.input.withheld.contains(&code) {
                    self.input.withheld.push(code);
                }
                return;
            }
        } else {
            let down = self
                .input
                .modifiers
                .iter()
                .chain(&self.input.swallowed)
                .copied();
            let chord = self.chords.find(Modifiers::of(down, host), code);
            if host || chord.is_some() {
                // A key already held by the zone stays the zone's: its release must reach it.
                if !self.input.held.contains(&code)
                    && self.input.swallowed.insert(code)
                    && let Some(chord) = chord
                {
                    self.swallow_modifiers();
                    self.perform(chord);
                }
                return;
            }
        }
        if self.trusted.page().is_some() {
            if self.input.swallowed.insert(code) {
                let shift = Modifiers::of(self.input.modifiers.iter().copied(), false).shift;
                self.page_key(code, shift);
            }
            return;
        }
        if let Some(focus) = self.live_focus()
            && keys::may_reach_zones(code)
            && !self.input.swallowed.contains(&code)
            && !self.input.held.contains(&code)
        {
            self.send_withheld();
            self.input.held.insert(code);
            self.send(
                focus,
                ZoneInput::Key {
                    code,
                    pressed: true,
                },
            );
        }
    }

    fn key_up(&mut self, code: u16) {
        self.input.modifiers.remove(&code);
        if self.input.withheld.contains(&code) {
            // A modifier tapped alone was meant for the zone.
            self.send_withheld();
        }
        if !self.input.swallowed.remove(&code)
            && self.input.held.remove(&code)
            && let Some(focus) = self.focus
        {
            self.send(
                focus,
                ZoneInput::Key {
                    code,
                    pressed: false,
                },
            );
        }
    }

    fn live_focus(&self) -> Option<ZoneId> {
        self.focus
            .filter(|focus| self.zone(*focus).is_some_and(|zone| zone.state.is_live()))
    }

    /// Sends the modifiers that were held back: no chord came of them.
    pub(in crate::scene) fn send_withheld(&mut self) {
        for code in std::mem::take(&mut self.input.withheld) {
            if let Some(focus) = self.live_focus()
                && self.input.held.insert(code)
            {
                self.send(
                    focus,
                    ZoneInput::Key {
                        code,
                        pressed: true,
                    },
                );
            }
        }
    }

    /// Makes the modifiers of a chord nobody's: those that no zone was told of never will be told of.
    fn swallow_modifiers(&mut self) {
        self.input.withheld.clear();
        let held = &self.input.held;
        let unknown: Vec<u16> = self
            .input
            .modifiers
            .iter()
            .copied()
            .filter(|code| !held.contains(code))
            .collect();
        for code in unknown {
            self.input.modifiers.remove(&code);
            self.input.swallowed.insert(code);
        }
    }

    fn perform(&mut self, chord: Chord) {
        if chord == Chord::DetachDevices {
            // It only takes rights away, so nothing stands before it.
            return self.actions.push(Action::Chord(chord));
        }
        // While a page is up, chords neither move focus nor windows; when the screen is locked they do nothing at all.
        let attention = matches!(
            chord,
            Chord::SecureAttention | Chord::Launcher | Chord::Overview
        );
        if self.is_locked() || (self.trusted.page().is_some() && !attention && chord != Chord::Lock)
        {
            return;
        }
        let moves_focus = matches!(
            chord,
            Chord::FocusNext | Chord::FocusPrevious | Chord::FocusNumber(_) | Chord::FocusZone(_)
        );
        if moves_focus && self.settings.focus_by == FocusBy::Click {
            return;
        }
        match chord {
            Chord::SecureAttention | Chord::Launcher => {
                self.open_attention();
                self.actions.push(Action::Chord(chord));
            }
            // A question is not to be got out of the way by looking around.
            Chord::Overview if self.is_trusted_up() => {}
            Chord::Overview => self.open_overview(),
            Chord::Lock | Chord::Transfer | Chord::Screenshot => {
                self.actions.push(Action::Chord(chord));
            }
            Chord::DetachDevices => {}
            Chord::ReleasePointer => self.break_grabs(),
            Chord::FocusZone(id) => {
                if self.zone(id).is_some() {
                    self.activate(id);
                }
            }
            Chord::FocusNext => self.cycle(1),
            Chord::FocusPrevious => self.cycle(self.zones.len().saturating_sub(1)),
            Chord::FocusNumber(number) => {
                if let Some(id) = self.zones.get(number).map(|zone| zone.identity.id) {
                    self.activate(id);
                }
            }
            Chord::Arrange(direction) => {
                self.on_focused(|scene, id| scene.arrange_towards(id, direction));
            }
            Chord::ToggleMaximise => self.on_focused(Scene::toggle_maximised),
            Chord::Minimise => self.on_focused(Scene::minimise),
            Chord::Workspace(step) => self.step_workspace(step, false),
            Chord::CarryToWorkspace(step) => self.step_workspace(step, true),
            Chord::Nudge(direction) => self.on_focused(|scene, id| {
                scene.shift(id, direction, |outer, x, y| outer.moved_by(x, y));
            }),
            Chord::Stretch(direction) => self.on_focused(|scene, id| {
                scene.shift(id, direction, |outer, x, y| outer.inset_edges(0, 0, -x, -y));
            }),
        }
        self.refresh_pointer();
    }

    fn on_focused(&mut self, act: impl FnOnce(&mut Self, ZoneId)) {
        self.break_grabs();
        if let Some(focus) = self.focus {
            act(self, focus);
        }
    }

    /// The zone so many places further in the panel gets the keyboard; hidden windows are shown again.
    fn cycle(&mut self, steps: usize) {
        let count = self.zones.len();
        let here = self
            .zones
            .iter()
            .position(|zone| Some(zone.identity.id) == self.focus);
        let next = match here {
            Some(here) => (here + steps).checked_rem(count),
            None if steps == 1 => Some(0),
            None => count.checked_sub(1),
        };
        if let Some(id) = next
            .and_then(|next| self.zones.get(next))
            .map(|zone| zone.identity.id)
        {
            self.activate(id);
        }
    }

    /// Changes a window by a step in a direction.
    fn shift(
        &mut self,
        id: ZoneId,
        direction: Direction,
        change: impl FnOnce(Rect, i32, i32) -> Rect,
    ) {
        let Some(outer) = self.window_rect(id) else {
            return;
        };
        let step = self.metrics_at(&outer).px(32);
        let (x, y) = match direction {
            Direction::Up => (0, -step),
            Direction::Down => (0, step),
            Direction::Left => (-step, 0),
            Direction::Right => (step, 0),
        };
        self.place(id, change(outer, x, y), Arrangement::Floating);
        self.request_size(id);
    }

    /// Gives a zone the keyboard and brings its window to the front: a person asked for it.
    pub(in crate::scene) fn activate(&mut self, id: ZoneId) {
        self.raise(id);
        self.set_focus(Some(id));
        self.refresh_pointer();
    }

    pub(in crate::scene) fn set_focus(&mut self, focus: Option<ZoneId>) {
        if self.focus == focus {
            return;
        }
        self.break_grabs();
        self.release_held();
        if let Some(old) = self.focus.take() {
            self.send(old, ZoneInput::Focus(false));
            self.damage_frame(old);
        }
        self.focus = focus;
        self.actions.push(Action::FocusChanged(focus));
        if let Some(new) = focus {
            self.damage_frame(new);
            self.greet_focused();
        }
        self.damage_panels();
    }

    /// Tells the focused zone that it has the keyboard; which modifiers are down it learns with the first key or click.
    pub(in crate::scene) fn greet_focused(&mut self) {
        let Some(focus) = self.live_focus() else {
            return;
        };
        self.send(focus, ZoneInput::Focus(true));
        // They may yet become part of a chord, so they are sent with whatever comes next.
        self.input.withheld = self.input.modifiers.iter().copied().collect();
    }

    /// Releases in the focused zone what it believes held.
    pub(in crate::scene) fn release_held(&mut self) {
        self.input.withheld.clear();
        for code in std::mem::take(&mut self.input.held) {
            if let Some(focus) = self.focus {
                self.send(
                    focus,
                    ZoneInput::Key {
                        code,
                        pressed: false,
                    },
                );
            }
        }
    }

    /// Forgets what a zone held that cannot be told any more.
    pub(in crate::scene) fn forget_held(&mut self) {
        self.input.held.clear();
    }
}
