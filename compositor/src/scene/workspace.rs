//! Workspaces: sets of windows of which one is shown at a time. All outputs change together.

use super::{Scene, WORKSPACES};
use crate::chords::WorkspaceStep;
use crate::geometry::Point;
use crate::panel;

impl Scene {
    /// The workspace that is shown, counted from 0.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    pub(super) fn step_workspace(&mut self, step: WorkspaceStep, carry: bool) {
        let next = match step {
            WorkspaceStep::Next => (self.workspace + 1) % WORKSPACES,
            WorkspaceStep::Previous => (self.workspace + WORKSPACES - 1) % WORKSPACES,
        };
        let carried = self.focus.filter(|_| carry);
        if let Some(zone) = carried.and_then(|id| self.zone_mut(id)) {
            zone.window.workspace = next;
            if let Some(remembered) = self.remembered.get_mut(next) {
                *remembered = carried;
            }
        }
        self.show_workspace(next);
    }

    /// A person chose a workspace: the zone that had the keyboard there has it again, if its window is still there.
    pub(super) fn show_workspace(&mut self, workspace: usize) {
        if workspace == self.workspace {
            return;
        }
        self.leave_workspace_for(workspace);
        let remembered = self.remembered.get(workspace).copied().flatten();
        let shown = remembered.filter(|id| self.zone(*id).is_some_and(|zone| self.shows(zone)));
        if let Some(id) = shown {
            self.raise(id);
        }
        self.set_focus(shown);
        self.refresh_pointer();
    }

    /// Shows another workspace; what focus becomes is the caller's business.
    pub(super) fn leave_workspace_for(&mut self, workspace: usize) {
        if workspace == self.workspace || workspace >= WORKSPACES {
            return;
        }
        self.break_grabs();
        if let Some(remembered) = self.remembered.get_mut(self.workspace) {
            *remembered = self.focus;
        }
        self.set_focus(None);
        self.workspace = workspace;
        self.damage_all();
    }

    pub(super) fn occupied_workspaces(&self) -> [bool; WORKSPACES] {
        let mut occupied = [false; WORKSPACES];
        for zone in &self.zones {
            if let Some(occupied) = occupied.get_mut(zone.window.workspace) {
                *occupied = true;
            }
        }
        occupied
    }

    /// The workspace whose mark in a panel lies under a point.
    pub(super) fn workspace_mark_at(&self, at: Point) -> Option<usize> {
        let (inner, metrics) = self.panel_at(at)?;
        panel::workspace_marks(inner, &metrics, self.status_line())
            .iter()
            .position(|mark| mark.contains(at))
    }
}
