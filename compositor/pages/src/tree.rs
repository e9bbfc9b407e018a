//! What egui says of a page to screen readers, as a part of the scene's own tree.

use compositor::accesskit::{
    Action, Node, NodeId, Rect, Role, TextPosition, TextSelection, TreeUpdate,
};
use compositor::{PAGE_NODES, PageTree};

/// Brings egui's tree into pixels and into numbers that the scene does not use. `width` and `height` are the picture's.
pub(crate) fn page_tree(update: TreeUpdate, scale: f64, width: f64, height: f64) -> PageTree {
    let number = |id: NodeId| NodeId(id.0 | PAGE_NODES);
    let root = update.tree.as_ref().map(|tree| tree.root);
    let mut tree = PageTree {
        focus: Some(update.focus)
            .filter(|focus| Some(*focus) != root)
            .map(number),
        ..PageTree::default()
    };
    for (id, mut node) in update.nodes {
        if Some(id) == root {
            tree.top = node.children().iter().copied().map(number).collect();
            continue;
        }
        translate(&mut node, number);
        if node.role() == Role::TextRun {
            scale_run(&mut node, scale);
        }
        if let Some(bounds) = node.bounds() {
            // What is scrolled away is nowhere; what is cut off is as large as is seen of it.
            let across = |value: f64| (value * scale).clamp(0.0, width);
            let down = |value: f64| (value * scale).clamp(0.0, height);
            node.set_bounds(Rect {
                x0: across(bounds.x0),
                y0: down(bounds.y0),
                x1: across(bounds.x1),
                y1: down(bounds.y1),
            });
        }
        tree.nodes.push((number(id), node));
    }
    // Focus must be on a node that there is.
    let known = |id: &NodeId| tree.nodes.iter().any(|(node, _)| node == id);
    tree.focus = tree.focus.filter(known);
    tree
}

/// Renumbers what a node names, and takes away what nobody may ask of it: a page hears keys and pointer alone.
fn translate(node: &mut Node, number: impl Fn(NodeId) -> NodeId) {
    let children: Vec<NodeId> = node.children().iter().copied().map(&number).collect();
    node.set_children(children);
    let labels: Vec<NodeId> = node.labelled_by().iter().copied().map(&number).collect();
    if !labels.is_empty() {
        node.set_labelled_by(labels);
    }
    let can_focus = node.supports_action(Action::Focus);
    node.clear_actions();
    if can_focus {
        node.add_action(Action::Focus);
    }
    // Runs of one line name each other, and a field's selection names its runs.
    if let Some(next) = node.next_on_line() {
        node.set_next_on_line(number(next));
    }
    if let Some(previous) = node.previous_on_line() {
        node.set_previous_on_line(number(previous));
    }
    if let Some(selection) = node.text_selection() {
        let renumbered = |position: TextPosition| TextPosition {
            node: number(position.node),
            ..position
        };
        let selection = TextSelection {
            anchor: renumbered(selection.anchor),
            focus: renumbered(selection.focus),
        };
        node.set_text_selection(selection);
    }
}

/// Brings the places of a run's characters into pixels.
fn scale_run(run: &mut Node, scale: f64) {
    #[allow(clippy::cast_possible_truncation, reason = "a scale is a small number")]
    let scale = scale as f32;
    let scaled = |values: &[f32]| values.iter().map(|value| value * scale).collect::<Vec<_>>();
    if let Some(positions) = run.character_positions().map(scaled) {
        run.set_character_positions(positions);
    }
    if let Some(widths) = run.character_widths().map(scaled) {
        run.set_character_widths(widths);
    }
}
