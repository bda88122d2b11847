//! `drbdsetup events2` and `status`.

use linstor_fake_host::DrbdKind;
use linstor_host::{Host, LineStream, StreamEvent};

use crate::lab::{Lab, Part, cmd};

const BOTH: [Part; 2] = [Part::First, Part::LikeDay0];

fn lines(stream: &mut LineStream) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(event) = stream.try_next() {
        match event {
            StreamEvent::Line(line) => found.push(line),
            other => panic!("{other:?}"),
        }
    }
    found
}

/// The initial dump ends with `exists -`; later events follow.
#[tokio::test(start_paused = true)]
async fn events_tell_the_story() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy(1, &BOTH).await;
    lab.settle().await;
    let mut stream = lab.host(1).stream(cmd("drbdsetup events2")).await.unwrap();
    let dump = lines(&mut stream);
    assert_eq!(
        dump,
        [
            "exists resource name:r role:Secondary suspended:no force-io-failures:no \
             may_promote:yes promotion_score:10101",
            "exists device name:r volume:0 minor:1000 backing_dev:/dev/vg/r_00000 disk:UpToDate \
             client:no quorum:yes",
            "exists connection name:r peer-node-id:1 conn-name:n2 connection:Connecting role:Unknown",
            "exists peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:Off \
             peer-disk:DUnknown peer-client:no resync-suspended:no",
            "exists path name:r peer-node-id:1 conn-name:n2 local:ipv4:10.77.0.1:7000 \
             peer:ipv4:10.77.0.2:7000 established:no",
            "exists -",
        ]
    );
    lab.deploy(2, &BOTH).await;
    lab.settle().await;
    let story = lines(&mut stream);
    let wanted = [
        "change connection name:r peer-node-id:1 conn-name:n2 connection:Connected role:Secondary",
        "change peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:SyncSource \
         peer-disk:Inconsistent peer-client:no done:100.00",
        "change resource name:r may_promote:yes promotion_score:10102",
        "change peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:Established \
         peer-disk:UpToDate peer-client:no",
    ];
    for line in wanted {
        assert!(
            story.iter().any(|found| found == line),
            "{line}\nnot in {story:#?}"
        );
    }
    lab.run(1, "drbdsetup down r").await;
    let end = lines(&mut stream);
    assert_eq!(end.last().unwrap(), "destroy resource name:r");
    assert!(end.contains(&"destroy device name:r volume:0".to_owned()));
}

/// DRBD 8.4 prints fewer fields, and its only peer has no name.
#[tokio::test(start_paused = true)]
async fn events_of_84() {
    let lab = Lab::new(2, DrbdKind::V84);
    lab.deploy_all(&BOTH).await;
    let text = lab.run(1, "drbdsetup events2 --now").await;
    assert_eq!(
        text,
        "exists resource name:r role:Secondary suspended:no\n\
         exists device name:r volume:0 minor:1000 disk:UpToDate\n\
         exists connection name:r peer-node-id:0 conn-name:peer connection:Connected role:Secondary\n\
         exists peer-device name:r peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate resync-suspended:no\n\
         exists -\n"
    );
}

/// `drbdsetup status` of a resource on two nodes and a disconnected third one.
#[tokio::test(start_paused = true)]
async fn status_text() {
    let lab = Lab::new(3, DrbdKind::V9);
    let parts = [Part::First, Part::LikeDay0, Part::Diskless];
    lab.deploy(1, &parts).await;
    lab.deploy(2, &parts).await;
    lab.settle().await;
    assert_eq!(
        lab.run(1, "drbdsetup status").await,
        "r role:Secondary\n  disk:UpToDate\n  n2 role:Secondary\n    peer-disk:UpToDate\n  n3 \
         connection:Connecting\n\n"
    );
    let missing = lab.try_run(1, "drbdsetup status nosuch").await;
    assert_eq!(
        (missing.code, missing.stderr.as_str()),
        (10, "nosuch: No such resource\n")
    );
}

/// A stream ends when its machine crashes or `drbdsetup` is killed.
#[tokio::test(start_paused = true)]
async fn streams_end() {
    let lab = Lab::new(1, DrbdKind::V9);
    let mut stream = lab.host(1).stream(cmd("drbdsetup events2")).await.unwrap();
    assert_eq!(
        stream.next().await,
        Some(StreamEvent::Line("exists -".into()))
    );
    lab.cluster.end_streams("n1");
    assert_eq!(stream.next().await, Some(StreamEvent::Ended(Some(1))));
    assert_eq!(stream.next().await, None);
    let mut stream = lab.host(1).stream(cmd("drbdsetup events2")).await.unwrap();
    lab.cluster.crash("n1");
    assert_eq!(
        stream.next().await,
        Some(StreamEvent::Line("exists -".into()))
    );
    assert_eq!(stream.next().await, None);
}

/// All fields of a resource during its initial sync, as DRBD 9 prints them.
#[tokio::test(start_paused = true)]
async fn verbose_status_text() {
    let lab = Lab::new(2, DrbdKind::V9);
    lab.deploy_all(&BOTH).await;
    assert_eq!(
        lab.run(1, "drbdsetup status r --verbose --statistics")
            .await,
        "\
r node-id:0 role:Secondary suspended:no force-io-failures:no
    write-ordering:flush
  volume:0 minor:1000 disk:UpToDate backing_dev:/dev/vg/r_00000 quorum:yes
      size:102340 read:0 written:0 al-writes:0 bm-writes:0 upper-pending:0
      lower-pending:0 al-suspended:no blocked:no
  n2 node-id:1 connection:Connected role:Secondary congested:no ap-in-flight:0
      rs-in-flight:0
    volume:0 replication:Established peer-disk:UpToDate resync-suspended:no
        received:0 sent:0 out-of-sync:0 pending:0 unacked:0

"
    );
}

/// The same as JSON, with the progress of a resync.
#[tokio::test(start_paused = true)]
async fn json_status() {
    let lab = Lab::new(2, DrbdKind::V9);
    let parts = [Part::First, Part::FullSync];
    lab.deploy(1, &parts).await;
    lab.deploy(2, &parts).await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let json = lab.run(2, "drbdsetup status r --json").await;
    for line in [
        "  \"name\": \"r\",",
        "      \"disk-state\": \"Inconsistent\",",
        "      \"connection-state\": \"Connected\",",
        "          \"replication-state\": \"SyncTarget\",",
        "          \"has-sync-details\": true,",
    ] {
        assert!(json.lines().any(|found| found == line), "{line} in {json}");
    }
    assert!(
        json.starts_with("[\n{\n") && json.ends_with("}\n]\n\n"),
        "{json}"
    );
}
