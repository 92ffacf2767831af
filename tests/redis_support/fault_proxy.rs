//! Each fault of the proxy, as both ends of a connection and as the driver meet it.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use redis::{AsyncCommands, Client};
use tokio::net::{TcpListener, TcpStream};

use super::support::fault_proxy::{Fault, FaultProxy, GARBAGE};
use super::support::redis::server::Server;
use super::support::wire::{Wire, soon};
use super::{get, is_kept_waiting, ping};

/// A listener that the test answers for, and the proxy before it.
struct Scene {
    listener: TcpListener,
    proxy: FaultProxy,
}

async fn scene() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::before(listener.local_addr().unwrap()).await;
    Scene { listener, proxy }
}

impl Scene {
    /// Both ends of a connection, by which a word has gone each way.
    async fn connect(&self) -> (Wire, Wire) {
        let mut client = Wire::connect(self.proxy.address()).await;
        client.send("hello").await;
        let mut server = Wire::accept(&self.listener).await;
        assert_eq!(server.bytes(5).await, "hello");
        server.send("welcome").await;
        assert_eq!(client.bytes(7).await, "welcome");
        (client, server)
    }
}

async fn assert_reset(wire: &mut Wire) {
    assert_eq!(wire.read_error().await.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_proxy_passes_all_and_each_end() {
    let scene = scene().await;
    assert_eq!(scene.proxy.connections(), 0);
    let (client, mut server) = scene.connect().await;
    scene.proxy.connected(1).await;
    assert_eq!(scene.proxy.connections(), 1);
    drop(client);
    assert_eq!(server.rest().await, b"");

    let (mut client, mut server) = scene.connect().await;
    let (sent, count) =
        tokio::join!(client.send_filler(4 << 20), async { server.count(4 << 20).await });
    let () = sent;
    assert_eq!(count, 4 << 20);
    drop(server);
    assert!(client.rest().await.is_empty());
    assert_eq!(scene.proxy.connections(), 2);
}

#[tokio::test]
async fn a_delay_is_one_each_way_and_not_one_a_chunk() {
    const DELAY: Duration = Duration::from_millis(300);
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Delay(DELAY));
    let start = Instant::now();
    client.send("ask").await;
    assert_eq!(server.bytes(3).await, "ask");
    assert!(start.elapsed() >= DELAY);
    server.send("answer").await;
    assert_eq!(client.bytes(6).await, "answer");
    assert!(start.elapsed() >= 2 * DELAY);

    // A thousand chunks, each of which would be late by itself.
    let chunks = async {
        for _ in 0..1_000 {
            client.send("x").await;
            tokio::task::yield_now().await;
        }
    };
    let (count, ()) = tokio::join!(server.count(1_000), chunks);
    assert_eq!(count, 1_000);
    // What is on its way goes on at once.
    client.send("late").await;
    scene.proxy.set(Fault::Pass);
    assert_eq!(server.bytes(4).await, "late");
}

#[tokio::test]
async fn a_throttled_connection_is_slow_each_way() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Throttle(10_000));
    let start = Instant::now();
    client.send_filler(4_000).await;
    assert_eq!(server.count(4_000).await, 4_000);
    assert!(start.elapsed() >= Duration::from_millis(300));
    let start = Instant::now();
    server.send_filler(4_000).await;
    assert_eq!(client.count(4_000).await, 4_000);
    assert!(start.elapsed() >= Duration::from_millis(300));
    // And slows who sends more.
    assert!(client.send_until_blocked(64 << 20).await < 64 << 20);
}

#[tokio::test]
async fn what_is_sent_to_a_hung_peer_arrives_afterwards() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Hang);
    client.send("asked").await;
    server.send("told").await;
    let mut new = Wire::connect(scene.proxy.address()).await;
    new.send("new").await;
    scene.proxy.connected(2).await;
    server.stays_silent().await;
    client.stays_silent().await;
    new.stays_silent().await;

    scene.proxy.set(Fault::Pass);
    assert_eq!(server.bytes(5).await, "asked");
    assert_eq!(client.bytes(4).await, "told");
    assert_eq!(Wire::accept(&scene.listener).await.bytes(3).await, "new");
}

#[tokio::test]
async fn what_is_sent_to_a_vanished_peer_is_lost_and_it_resets_when_it_is_back() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::HalfOpen);
    let mut new = Wire::connect(scene.proxy.address()).await;
    scene.proxy.connected(2).await;
    // More than any buffer takes.
    client.send_filler(16 << 20).await;
    server.send_filler(16 << 20).await;
    new.send_filler(16 << 20).await;
    client.stays_silent().await;
    server.stays_silent().await;
    new.stays_silent().await;

    scene.proxy.set(Fault::Pass);
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    assert_reset(&mut new).await;
    scene.connect().await;
}

#[tokio::test]
async fn a_vanished_peer_does_not_tell_that_the_other_end_closed() {
    let scene = scene().await;
    let (mut client, server) = scene.connect().await;
    scene.proxy.set(Fault::HalfOpen);
    drop(server);
    client.stays_silent().await;
}

#[tokio::test]
async fn a_reset_ends_what_is_open_and_what_is_new() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Reset);
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    // Before the connection is made or after it.
    if let Ok(stream) = TcpStream::connect(scene.proxy.address()).await {
        assert_reset(&mut Wire::over(stream)).await;
    }
    scene.proxy.connected(2).await;
    scene.proxy.set(Fault::Pass);
    scene.connect().await;
}

#[tokio::test]
async fn a_reset_that_is_over_at_once_ends_what_was_open() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Reset);
    scene.proxy.set(Fault::Pass);
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    scene.connect().await;
}

#[tokio::test]
async fn who_is_refused_is_closed_at_once_and_who_is_connected_goes_on() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    scene.proxy.set(Fault::Refuse);
    let mut refused = Wire::connect(scene.proxy.address()).await;
    assert_eq!(refused.rest().await, b"");
    scene.proxy.connected(2).await;
    client.send("more").await;
    assert_eq!(server.bytes(4).await, "more");
    scene.proxy.set(Fault::Pass);
    scene.connect().await;
}

#[tokio::test]
async fn garbage_is_answered_to_whoever_asks() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    let (mut silent, mut other) = scene.connect().await;
    scene.proxy.set(Fault::Garbage);
    client.send("PING\r\n").await;
    assert_eq!(client.bytes(GARBAGE.len()).await.as_bytes(), GARBAGE);
    server.stays_silent().await;
    silent.stays_silent().await;

    scene.proxy.set(Fault::Pass);
    assert_reset(&mut client).await;
    silent.send("well").await;
    assert_eq!(other.bytes(4).await, "well");
}

#[tokio::test]
async fn a_proxy_before_another_target_leads_there_from_then_on() {
    let scene = scene().await;
    let (mut client, mut server) = scene.connect().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    scene.proxy.retarget(elsewhere.local_addr().unwrap());
    let mut new = Wire::connect(scene.proxy.address()).await;
    new.send("new").await;
    assert_eq!(Wire::accept(&elsewhere).await.bytes(3).await, "new");
    client.send("old").await;
    assert_eq!(server.bytes(3).await, "old");
}

#[tokio::test]
async fn a_proxy_before_nothing_resets() {
    let mut server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    server.kill();
    assert_reset(&mut Wire::connect(proxy.address()).await).await;
}

/// What the driver makes of the faults, through a proxy before a real server.
#[tokio::test]
async fn the_driver_meets_the_faults_as_errors_and_late_answers() {
    let server = Server::start(&[]).await;
    let proxy = FaultProxy::before(server.address()).await;
    let client = Client::open(format!("redis://{}", proxy.address())).unwrap();
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connect = async || {
        let connection = client.get_multiplexed_async_connection_with_config(&patient).await;
        connection.unwrap()
    };

    let mut connection = connect().await;
    let mut cloned = connection.clone();
    proxy.set(Fault::Hang);
    let mut answer = std::pin::pin!(get(&mut connection));
    is_kept_waiting(&mut answer).await;
    proxy.set(Fault::Pass);
    assert_eq!(soon(answer).await, None);

    proxy.set(Fault::HalfOpen);
    let mut lost = std::pin::pin!(cloned.get::<_, Option<String>>("key"));
    is_kept_waiting(&mut lost).await;
    proxy.set(Fault::Pass);
    assert!(soon(lost).await.unwrap_err().is_io_error());

    let mut connection = connect().await;
    proxy.set(Fault::Garbage);
    let garbled = soon(connection.get::<_, Option<String>>("key")).await.unwrap_err();
    assert_eq!(garbled.kind(), redis::ErrorKind::Parse);
    proxy.set(Fault::Refuse);
    assert!(ping(&client).await.is_err());
    proxy.set(Fault::Pass);
    assert_eq!(ping(&client).await.unwrap(), "PONG");
}
