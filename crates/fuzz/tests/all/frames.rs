//! Messages between controller and satellite, and the frames around them.

use linstor_fuzz::fuzz;
use linstor_net::{ControllerSide, SatelliteSide};
use linstor_wire::{ToController, ToSatellite};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use crate::files;

fn messages(direction: &str) -> Vec<Vec<u8>> {
    let all = files("wire/tests").into_iter();
    let of_direction = all.filter(|(path, _)| path.to_string_lossy().contains(direction));
    of_direction.map(|(_, content)| content).collect()
}

/// Reads a message: what is read is written, and read again.
fn message<T: DeserializeOwned + Serialize>(input: &[u8]) -> Result<T, String> {
    let message: T = serde_json::from_slice(input).map_err(|error| error.to_string())?;
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    let _again: T = serde_json::from_slice(&written).expect("what was written can be read");
    Ok(message)
}

#[test]
fn to_satellite() {
    fuzz(
        "messages to satellites",
        &messages("to_satellite"),
        |input| {
            let message: ToSatellite = message(input)?;
            if let ToSatellite::Apply { specs, .. } = message {
                for wanted in specs {
                    wanted.read()?;
                }
            }
            Ok::<(), String>(())
        },
    );
}

#[test]
fn to_controller() {
    fuzz(
        "messages to controllers",
        &messages("to_controller"),
        |input| message::<ToController>(input).map(drop),
    );
}

fn framed(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let frame = |content: &Vec<u8>| {
        let length = u32::try_from(content.len()).expect("a message is small");
        [&length.to_be_bytes()[..], content].concat()
    };
    let mut frames: Vec<Vec<u8>> = messages.iter().map(frame).collect();
    frames.push(frames.concat());
    frames
}

/// How many messages are read before the connection is of no use, and why it is then.
macro_rules! read_all {
    ($side:ty, $input:expr) => {{
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(async {
            let (mut near, far) = tokio::io::duplex(1 << 20);
            near.write_all($input).await.expect("it fits");
            drop(near);
            let mut side = <$side>::new(far);
            let mut count = 0;
            loop {
                match side.next().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => break (count, String::new()),
                    Err(error) if matches!(error, linstor_net::NetError::NotUnderstood { .. }) => {
                        count += 1
                    }
                    Err(error) => break (count, error.to_string()),
                }
            }
        })
    }};
}

#[test]
fn frames_to_satellite() {
    let corpus = framed(messages("to_satellite"));
    fuzz("frames to satellites", &corpus, |input| {
        read_all!(SatelliteSide, input)
    });
}

#[test]
fn frames_to_controller() {
    let corpus = framed(messages("to_controller"));
    fuzz("frames to controllers", &corpus, |input| {
        read_all!(ControllerSide, input)
    });
}
