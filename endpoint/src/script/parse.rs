//! Reads a script's lines.

use std::path::PathBuf;
use std::time::Duration;

use super::{Command, Condition, DesktopCondition, Script, ScriptError, Step, keyboard};
use crate::Status;

/// How long a wait takes at most when its line does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest that a script may sleep or wait for: a day.
const LONGEST: f64 = 86_400.0;
/// The furthest that a pointer may be sent.
const FURTHEST: i32 = 1 << 20;

const COMMANDS: &str = "wait-ready, wait-console, wait-state, wait-still, wait-agent, wait-policy, wait-locked, wait-unlocked, answer, unlock, latency, \
                        focus, type, key, press, wait-shown, move, click, wheel, sleep, screenshot, start, power, kill, quit";

pub(super) fn parse(file: &str, text: &str) -> Result<Script, ScriptError> {
    let mut steps = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let command = command(content).map_err(|message| ScriptError {
            file: file.to_owned(),
            line,
            message,
        })?;
        steps.push(Step { line, command });
    }
    Ok(Script {
        file: file.to_owned(),
        steps,
    })
}

fn command(content: &str) -> Result<Command, String> {
    let (word, rest) = content
        .split_once(char::is_whitespace)
        .unwrap_or((content, ""));
    match word {
        // The rest of the line as it is, spaces included.
        "type" => return strokes(rest).map(Command::Type),
        "unlock" => return strokes(rest).map(Command::Unlock),
        "wait-console" => return wait_console(rest),
        _ => {}
    }
    let rest = rest.trim();
    match word {
        "wait-ready" => {
            let (zone, timeout) = with_timeout(rest)?;
            Ok(Command::Wait {
                zone: zone_name(zone)?,
                condition: Condition::Ready,
                timeout,
            })
        }
        "wait-agent" => {
            let (zone, timeout) = with_timeout(rest)?;
            Ok(Command::Wait {
                zone: zone_name(zone)?,
                condition: Condition::Agent,
                timeout,
            })
        }
        "wait-policy" => {
            let (version, timeout) = with_timeout(rest)?;
            let version = version.parse();
            let version = version.map_err(|_| "write the policy's version, a number")?;
            let condition = DesktopCondition::Policy(version);
            Ok(Command::WaitFor { condition, timeout })
        }
        "wait-locked" | "wait-unlocked" => {
            let condition = DesktopCondition::Locked(word == "wait-locked");
            let (nothing, timeout) = with_timeout_alone(rest)?;
            if !nothing.is_empty() {
                return Err(format!("`{word}` takes nothing but a timeout"));
            }
            Ok(Command::WaitFor { condition, timeout })
        }
        "answer" => {
            let (choice, timeout) = with_timeout(rest)?;
            let choice = choice.parse().ok().filter(|choice| *choice <= 3);
            let choice = choice.ok_or("write 0 for no, or 1 to 3 for a yes")?;
            Ok(Command::Answer { choice, timeout })
        }
        "wait-state" => {
            let (rest, timeout) = with_timeout(rest)?;
            let (zone, state) = rest
                .split_once(char::is_whitespace)
                .ok_or("write a zone and a state")?;
            let state = state.trim();
            let known = Status::WORDS.into_iter().find(|known| *known == state);
            let known = known.ok_or_else(|| {
                format!(
                    "there is no state `{state}`; the states are {}",
                    Status::WORDS.join(", ")
                )
            })?;
            Ok(Command::Wait {
                zone: zone_name(zone)?,
                condition: Condition::State(known),
                timeout,
            })
        }
        "wait-still" => {
            let (rest, timeout) = with_timeout(rest)?;
            let (zone, still) = rest
                .split_once(char::is_whitespace)
                .ok_or("write a zone and a number of seconds")?;
            Ok(Command::Wait {
                zone: zone_name(zone)?,
                condition: Condition::Still(seconds(still.trim())?),
                timeout,
            })
        }
        "latency" => {
            let (rest, busy) = match rest.strip_suffix(" busy") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let [zone, count] = words(rest)?;
            let count = count
                .parse()
                .ok()
                .filter(|count| (1..=10_000).contains(count));
            Ok(Command::Latency {
                zone: zone_name(zone)?,
                count: count.ok_or("write how many keys, 1 to 10000")?,
                busy,
            })
        }
        "focus" => zone_name(rest).map(Command::Focus),
        "start" => zone_name(rest).map(Command::Start),
        "power" => zone_name(rest).map(Command::Power),
        "kill" => zone_name(rest).map(Command::Kill),
        "key" => chord(rest),
        "press" if rest.is_empty() => Err("write the name of a control".to_owned()),
        "press" => Ok(Command::Press(rest.to_owned())),
        "wait-shown" => {
            let (text, timeout) = with_timeout(rest)?;
            if text.is_empty() {
                return Err("write the text to wait for".to_owned());
            }
            Ok(Command::Shown {
                text: text.to_owned(),
                timeout,
            })
        }
        "move" => {
            let [x, y] = words(rest)?;
            Ok(Command::Move(coordinate(x)?, coordinate(y)?))
        }
        "click" => click(rest),
        "wheel" => {
            let notches = rest
                .parse::<i32>()
                .ok()
                .filter(|notches| (-1000..=1000).contains(notches));
            notches
                .map(Command::Wheel)
                .ok_or_else(|| format!("`{rest}` is no number of notches from -1000 to 1000"))
        }
        "sleep" => seconds(rest).map(Command::Sleep),
        "screenshot" if rest.is_empty() => Err("write the file for the picture".to_owned()),
        "screenshot" => Ok(Command::Screenshot(PathBuf::from(rest))),
        "quit" if rest.is_empty() => Ok(Command::Quit),
        "quit" => Err("`quit` takes nothing".to_owned()),
        _ => Err(format!(
            "there is no command `{word}`; the commands are {COMMANDS}"
        )),
    }
}

fn strokes(text: &str) -> Result<Vec<keyboard::Stroke>, String> {
    if text.is_empty() {
        return Err("write the text to type".to_owned());
    }
    let stroke = |character| {
        keyboard::stroke(character).ok_or_else(|| {
            format!(
                "a US keyboard has no key for `{}`",
                character.escape_default()
            )
        })
    };
    text.chars().map(stroke).collect()
}

fn wait_console(rest: &str) -> Result<Command, String> {
    let (zone, text) = rest
        .trim_start()
        .split_once(char::is_whitespace)
        .ok_or("write a zone and the text to wait for")?;
    let (text, timeout) = with_timeout(text.trim())?;
    if text.is_empty() {
        return Err("write the text to wait for".to_owned());
    }
    Ok(Command::Wait {
        zone: zone_name(zone)?,
        condition: Condition::Console(text.to_owned()),
        timeout,
    })
}

fn chord(names: &str) -> Result<Command, String> {
    let code = |name: &str| {
        let name = name.trim();
        keyboard::key(name).ok_or_else(|| format!("there is no key `{name}`"))
    };
    names
        .split('+')
        .map(code)
        .collect::<Result<_, _>>()
        .map(Command::Key)
}

fn click(rest: &str) -> Result<Command, String> {
    let mut words: Vec<&str> = rest.split_whitespace().collect();
    let button = match words.first().copied() {
        Some("left") => Some(0x110),
        Some("right") => Some(0x111),
        Some("middle") => Some(0x112),
        _ => None,
    };
    if button.is_some() {
        words.remove(0);
    }
    let button = button.unwrap_or(0x110);
    match words.as_slice() {
        [] => Ok(Command::Click { button, at: None }),
        [x, y] => Ok(Command::Click {
            button,
            at: Some((coordinate(x)?, coordinate(y)?)),
        }),
        _ => Err(
            "write `click`, then left, middle or right, then X and Y, or leave either out"
                .to_owned(),
        ),
    }
}

/// Takes `timeout SECONDS` off the end of a line.
fn with_timeout(rest: &str) -> Result<(&str, Duration), String> {
    let Some((before, last)) = rest.rsplit_once(char::is_whitespace) else {
        return Ok((rest, USUAL_TIMEOUT));
    };
    let before = before.trim_end();
    match before.strip_suffix("timeout") {
        Some(start) if start.is_empty() || start.ends_with(char::is_whitespace) => {
            Ok((start.trim_end(), seconds(last)?))
        }
        _ => Ok((rest, USUAL_TIMEOUT)),
    }
}

/// The same where nothing else needs to be on the line.
fn with_timeout_alone(rest: &str) -> Result<(&str, Duration), String> {
    match rest.strip_prefix("timeout ") {
        Some(timeout) => Ok(("", seconds(timeout.trim())?)),
        None => Ok((rest, USUAL_TIMEOUT)),
    }
}

fn zone_name(name: &str) -> Result<String, String> {
    match name.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err("write a zone's name".to_owned()),
        _ => Err(format!("`{name}` is not one zone's name")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=LONGEST).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("`{text}` is no number of seconds from 0 to {LONGEST}"))
}

fn coordinate(text: &str) -> Result<i32, String> {
    let pixel = text
        .parse::<i32>()
        .ok()
        .filter(|pixel| (-FURTHEST..=FURTHEST).contains(pixel));
    pixel.ok_or_else(|| format!("`{text}` is no pixel"))
}

fn words<const N: usize>(rest: &str) -> Result<[&str; N], String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    words
        .try_into()
        .map_err(|words: Vec<&str>| format!("write {N} numbers, not {}", words.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Command {
        let mut script = Script::parse("x", line).unwrap();
        assert_eq!(script.steps.len(), 1, "{line}");
        script.steps.remove(0).command
    }

    fn wait(zone: &str, condition: Condition, seconds: u64) -> Command {
        Command::Wait {
            zone: zone.to_owned(),
            condition,
            timeout: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn every_command_is_read() {
        assert_eq!(one("wait-ready corp"), wait("corp", Condition::Ready, 300));
        assert_eq!(
            one("  wait-ready corp timeout 10 "),
            wait("corp", Condition::Ready, 10)
        );
        assert_eq!(
            one("wait-state open off timeout 5"),
            wait("open", Condition::State("off"), 5)
        );
        assert_eq!(
            one("wait-console corp a b timeout 7"),
            wait("corp", Condition::Console("a b".into()), 7)
        );
        assert_eq!(
            one("wait-console corp no timeout"),
            wait("corp", Condition::Console("no timeout".into()), 300)
        );
        assert_eq!(
            one("wait-still corp 1.5 timeout 9"),
            wait("corp", Condition::Still(Duration::from_millis(1500)), 9)
        );
        assert_eq!(
            one("wait-agent corp timeout 3"),
            wait("corp", Condition::Agent, 3)
        );
        let desktop = |condition, seconds| Command::WaitFor {
            condition,
            timeout: Duration::from_secs(seconds),
        };
        assert_eq!(
            one("wait-policy 7 timeout 4"),
            desktop(DesktopCondition::Policy(7), 4)
        );
        assert_eq!(
            one("wait-locked"),
            desktop(DesktopCondition::Locked(true), 300)
        );
        assert_eq!(
            one("wait-unlocked timeout 9"),
            desktop(DesktopCondition::Locked(false), 9)
        );
        assert_eq!(
            one("answer 1 timeout 5"),
            Command::Answer {
                choice: 1,
                timeout: Duration::from_secs(5)
            }
        );
        assert_eq!(
            one("unlock a"),
            Command::Unlock(vec![keyboard::Stroke {
                code: 30,
                shift: false
            }])
        );
        assert_eq!(one("focus corp"), Command::Focus("corp".into()));
        let stroke = |code, shift| keyboard::Stroke { code, shift };
        assert_eq!(
            one("type  A "),
            Command::Type(vec![stroke(57, false), stroke(30, true), stroke(57, false)])
        );
        assert_eq!(one("key ctrl+alt+Right"), Command::Key(vec![29, 56, 106]));
        assert_eq!(one("press Take back"), Command::Press("Take back".into()));
        assert_eq!(
            one("wait-shown corp, running timeout 3"),
            Command::Shown {
                text: "corp, running".into(),
                timeout: Duration::from_secs(3)
            }
        );
        assert_eq!(one("move 3 -4"), Command::Move(3, -4));
        assert_eq!(
            one("click"),
            Command::Click {
                button: 0x110,
                at: None
            }
        );
        assert_eq!(
            one("click right"),
            Command::Click {
                button: 0x111,
                at: None
            }
        );
        assert_eq!(
            one("click 5 6"),
            Command::Click {
                button: 0x110,
                at: Some((5, 6))
            }
        );
        assert_eq!(
            one("click middle 5 6"),
            Command::Click {
                button: 0x112,
                at: Some((5, 6))
            }
        );
        assert_eq!(one("wheel -2"), Command::Wheel(-2));
        assert_eq!(one("sleep 0.5"), Command::Sleep(Duration::from_millis(500)));
        assert_eq!(
            one("screenshot a b.png"),
            Command::Screenshot("a b.png".into())
        );
        assert_eq!(one("power corp"), Command::Power("corp".into()));
        assert_eq!(one("start corp"), Command::Start("corp".into()));
        assert_eq!(one("kill corp"), Command::Kill("corp".into()));
        assert_eq!(one("quit"), Command::Quit);
    }

    #[test]
    fn errors_name_file_line_and_what_would_do() {
        let error =
            Script::parse("demo.script", "# remark\n\nfocus corp\nfrobnicate\n").unwrap_err();
        assert!(error.to_string().starts_with(
            "demo.script:4: there is no command `frobnicate`; the commands are wait-ready,"
        ));
        for bad in [
            "type",
            "type caf\u{e9}",
            "key ctrl+nonsense",
            "key",
            "press",
            "wait-shown",
            "move 1",
            "move 1 2 3",
            "move 1 x",
            "click sideways",
            "click 1",
            "wheel up",
            "wheel 99999",
            "sleep -1",
            "sleep NaN",
            "sleep 1e99",
            "screenshot",
            "quit now",
            "focus",
            "focus a b",
            "wait-state corp asleep",
            "wait-state corp",
            "wait-console corp",
            "wait-ready corp timeout soon",
            "wait-policy",
            "wait-policy new",
            "wait-locked now",
            "answer",
            "answer yes",
            "answer 9",
            "unlock",
        ] {
            let error = Script::parse("x", bad).expect_err(bad);
            assert_eq!(error.line, 1, "{bad}");
        }
    }

    #[test]
    fn the_handbooks_example_is_a_script() {
        let documentation = include_str!("../script.rs");
        let example = documentation
            .split("```")
            .nth(1)
            .unwrap()
            .trim_start_matches("text\n");
        let example: String = example
            .lines()
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        assert_eq!(Script::parse("example", &example).unwrap().steps.len(), 7);
    }
}
