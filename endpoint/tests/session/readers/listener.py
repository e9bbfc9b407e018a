"""An assistive technology, by libatspi as Orca uses it: reads commands line by line and answers each with a line of JSON.

on       says on the session's bus that an assistive technology is at work
tree     all that the application tells, in its order: depth, role, name, states, interfaces, locale
heard    what was announced, focused and changed since the last time, in order
attack   asks for everything that the bus has words for, on every node; how many requests were answered without an error
"""

import json
import sys

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, Gio, GLib  # noqa: E402

APPLICATION = "bulkhead-accessibility"
HEARD = []


def hear(event):
    try:
        # The registry speaks of the desktop, too.
        if event.source.get_application().get_name() != APPLICATION:
            return
        name = event.source.get_name()
    except (AttributeError, GLib.Error):
        # Whoever said it is gone already.
        name = None
    HEARD.append([event.type, str(event.any_data or ""), event.detail1, name])


LISTENER = Atspi.EventListener.new(hear)
for kind in ["object", "window", "focus"]:
    LISTENER.register(kind)


def application():
    desktop = Atspi.get_desktop(0)
    for index in range(desktop.get_child_count()):
        child = desktop.get_child_at_index(index)
        if child is not None and child.get_name() == APPLICATION:
            return child
    return None


def walk(node, depth=0):
    yield depth, node
    for index in range(node.get_child_count()):
        child = node.get_child_at_index(index)
        if child is not None:
            yield from walk(child, depth + 1)


def nodes():
    top = application()
    if top is None:
        return
    # What the library remembers may be older than what is told.
    top.clear_cache()
    yield from walk(top)


def tree():
    told = []
    for depth, node in nodes():
        try:
            states = [state.value_nick for state in node.get_state_set().get_states()]
            told.append({
                "depth": depth, "role": node.get_role_name(), "name": node.get_name() or "", "states": states,
                "interfaces": list(node.get_interfaces()), "locale": node.get_object_locale() or "",
                "description": node.get_description() or "",
            })
        except GLib.Error:
            # It went while it was looked at.
            continue
    return told


def bus():
    session = Gio.bus_get_sync(Gio.BusType.SESSION)
    address = session.call_sync("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus", "GetAddress", None, None, 0, -1)
    flags = Gio.DBusConnectionFlags
    both = flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(address.unpack()[0], both)


def attack():
    wire = bus()
    variant = GLib.Variant
    requests = [
        ("Action", "DoAction", variant("(i)", (0,))),
        ("Component", "GrabFocus", None),
        ("Component", "ScrollTo", variant("(u)", (0,))),
        ("Component", "ScrollToPoint", variant("(uii)", (0, 5, 5))),
        ("Component", "SetExtents", variant("(iiiiu)", (0, 0, 5, 5, 0))),
        ("EditableText", "SetTextContents", variant("(s)", ("right one",))),
        ("EditableText", "InsertText", variant("(isi)", (0, "right one", 9))),
        ("Selection", "SelectChild", variant("(i)", (0,))),
        ("Selection", "SelectAll", None),
        ("Text", "SetCaretOffset", variant("(i)", (0,))),
        ("Text", "AddSelection", variant("(ii)", (0, 1))),
    ]
    answered = {}
    for _, node in list(nodes()):
        name, path = node.app.bus_name, node.path
        for interface, method, arguments in requests:
            interface = "org.a11y.atspi." + interface
            try:
                wire.call_sync(name, path, interface, method, arguments, None, 0, 2000)
                answered[method] = answered.get(method, 0) + 1
            except GLib.Error:
                continue
        try:
            value = variant("(ssv)", ("org.a11y.atspi.Value", "CurrentValue", variant("d", 1.0)))
            wire.call_sync(name, path, "org.freedesktop.DBus.Properties", "Set", value, None, 0, 2000)
            answered["CurrentValue"] = answered.get("CurrentValue", 0) + 1
        except GLib.Error:
            pass
    return answered


def on():
    session = Gio.bus_get_sync(Gio.BusType.SESSION)
    value = GLib.Variant("(ssv)", ("org.a11y.Status", "IsEnabled", GLib.Variant("b", True)))
    session.call_sync("org.a11y.Bus", "/org/a11y/bus", "org.freedesktop.DBus.Properties", "Set", value, None, 0, -1)
    return "on"


def heard():
    said = HEARD[:]
    HEARD.clear()
    return said


COMMANDS = {"on": on, "tree": tree, "heard": heard, "attack": attack}


def obey(source, condition):
    line = sys.stdin.readline()
    if not line:
        LOOP.quit()
        return False
    print(json.dumps(COMMANDS[line.strip()]()), flush=True)
    return True


LOOP = GLib.MainLoop()
GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_LOW, GLib.IO_IN | GLib.IO_HUP, obey)
LOOP.run()
