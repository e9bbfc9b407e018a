//! Scripts in play, and the headless presenter.

use std::time::{Duration, Instant};

use endpoint::present::{Ending, Show, ShowError, headless};
use endpoint::script::{Player, Script};

use crate::desk::{Desk, Setting};
use crate::zone::{INK, colour_of};

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "players::a_script_types_and_sees_the_effect",
        a_script_types_and_sees_the_effect,
    ),
    (
        "players::a_failed_wait_names_its_line",
        a_failed_wait_names_its_line,
    ),
    (
        "players::a_wait_for_a_dead_zone_fails_at_once",
        a_wait_for_a_dead_zone_fails_at_once,
    ),
    (
        "players::a_script_stops_and_kills_zones",
        a_script_stops_and_kills_zones,
    ),
    (
        "players::a_show_ends_in_time_with_a_picture",
        a_show_ends_in_time_with_a_picture,
    ),
    (
        "players::a_zone_that_failed_fails_the_show",
        a_zone_that_failed_fails_the_show,
    ),
];

fn play(desk: Desk, script: &str, ending: Ending) -> Result<(), ShowError> {
    let script = Script::parse("test.script", script).unwrap();
    let show = Show::new(
        desk.session,
        Some(Player::new(script)),
        ending,
        Instant::now(),
    )
    .unwrap();
    headless::run(show)
}

fn with_script() -> Ending {
    Ending {
        with_script: true,
        ..Ending::default()
    }
}

/// Width, height and the colour at each pixel.
fn read_png(path: &std::path::Path) -> (u32, u32, Vec<u32>) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let pixels = bytes[..info.buffer_size()]
        .chunks_exact(3)
        .map(|rgb| u32::from_be_bytes([0, rgb[0], rgb[1], rgb[2]]));
    (info.width, info.height, pixels.collect())
}

fn a_script_types_and_sees_the_effect() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("a picture.png");
    let script = format!(
        "# demo\nwait-ready corp timeout 20\nwait-ready open timeout 20\nfocus corp\ntype aB\nkey ctrl+Return\n\
         wait-console corp key 30 up\nwait-console corp key 48 down timeout 20\nwait-console corp key 28 up\n\
         sleep 0.05\nscreenshot {}\nquit\n",
        picture.display()
    );
    let desk = Desk::new();
    let client = desk
        .session
        .scene()
        .client_rect(desk.session.zone("corp").unwrap().id())
        .unwrap();
    play(desk, &script, Ending::default()).unwrap();
    let (width, height, pixels) = read_png(&picture);
    assert_eq!((width, height), (1280, 800));
    let at = |x: i32, y: i32| {
        pixels[usize::try_from((client.top() + y) * 1280 + client.left() + x).unwrap()]
    };
    // a, Shift, B, Control, Return: five presses, five squares of eight pixels.
    assert_eq!(
        (at(2, 2), at(38, 2), at(42, 2)),
        (INK, INK, colour_of("corp"))
    );
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "no unfinished file is left"
    );
}

fn a_failed_wait_names_its_line() {
    let script = "wait-ready corp\n\nwait-console corp no such text timeout 0.2\n";
    let Err(ShowError::Script(error)) = play(Desk::new(), script, with_script()) else {
        panic!("the wait did not fail")
    };
    assert_eq!((error.file.as_str(), error.line), ("test.script", 3));
    assert!(
        error.message.contains(
            "zone corp did not write `no such text` to its console within 0 s; it is running"
        ),
        "{error}"
    );
    assert!(
        error.message.contains("start corp"),
        "the end of the console is shown: {error}"
    );
    for (script, reason) in [
        (
            "focus nobody",
            "there is no zone `nobody`; the policy has open, corp",
        ),
        ("type x", "no zone has the keyboard"),
        ("wait-state open off timeout 0.1", "did not become off"),
        ("screenshot /no/such/place.png", "could not be saved"),
    ] {
        let Err(ShowError::Script(error)) = play(Desk::new(), script, with_script()) else {
            panic!("{script} did not fail")
        };
        assert!(
            error.line == 1 && error.message.contains(reason),
            "{script}: {error}"
        );
    }
}

fn a_wait_for_a_dead_zone_fails_at_once() {
    let script = "wait-state open failed timeout 20\nwait-ready open\n";
    let Err(ShowError::Script(error)) =
        play(Desk::attacked("open", "fails"), script, with_script())
    else {
        panic!("the wait did not fail")
    };
    assert_eq!(error.line, 2);
    assert!(
        error.message.contains("it is failed: the disk is on fire"),
        "{error}"
    );
}

fn a_script_stops_and_kills_zones() {
    let script = "wait-ready open\nwait-ready corp\npower open\nwait-state open off timeout 20\nkill corp\nwait-state corp killed\n\
                  start open\nwait-ready open timeout 20\nwait-still open 0.1 timeout 20\nmove 100 100\nclick right 5 5\nwheel -1\n";
    play(Desk::new(), script, with_script()).unwrap();
}

fn a_show_ends_in_time_with_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("end.png");
    let ending = Ending {
        after: Some(Duration::from_millis(300)),
        with_script: false,
        picture: Some(picture.clone()),
    };
    let desk = Desk::new();
    let show = Show::new(desk.session, None, ending, Instant::now()).unwrap();
    headless::run(show).unwrap();
    assert_eq!(read_png(&picture).2.len(), 1280 * 800);
}

fn a_zone_that_failed_fails_the_show() {
    let desk = Desk::with(&Setting {
        behaviours: &[("open", "hello-twice")],
        ..Setting::default()
    });
    let script = "wait-state open killed timeout 20\n";
    let Err(error) = play(desk, script, with_script()) else {
        panic!("nobody noticed")
    };
    assert!(
        error
            .to_string()
            .starts_with("zone open is killed: it broke the zone link's protocol"),
        "{error}"
    );
}
