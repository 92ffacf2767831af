//! A load at a steady rate from one thread: `steady ADDRESS RATE SECONDS CONNECTIONS FILE`.
//!
//! A request is due every so often, whatever became of those before, and its time counts from when it
//! was due: a server that stands still is not spared the requests that it kept from being sent. The
//! thread never sleeps, so that it is not the kernel's waking that is measured. FILE has the requests,
//! each after a line with its length in bytes; they are sent in turn. What was found is one line of
//! JSON, times in microseconds.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// The end of what is waited for, after the last request was due.
const PATIENCE: Duration = Duration::from_secs(5);

struct Client {
    stream: TcpStream,
    /// When the request under way was due.
    due: Option<Instant>,
    received: Vec<u8>,
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, rate, seconds, connections, file] = &arguments[..] else {
        panic!("steady ADDRESS RATE SECONDS CONNECTIONS FILE")
    };
    let address: SocketAddr = address.parse().expect("ADDRESS");
    let every = Duration::from_secs_f64(1.0 / rate.parse::<f64>().expect("RATE"));
    let span = Duration::from_secs_f64(seconds.parse().expect("SECONDS"));
    let connections: usize = connections.parse().expect("CONNECTIONS");
    let requests = read_requests(&fs::read(file)?);

    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(connections);
    let mut idle = VecDeque::new();
    for place in 0..connections {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(place), Interest::READABLE)?;
        clients.push(Client { stream, due: None, received: Vec::with_capacity(16 << 10) });
        idle.push_back(place);
    }

    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 << 10];
    let mut times_us: Vec<f64> = Vec::new();
    let (mut sent, mut failed, mut hits) = (0_u32, 0, 0);
    let start = Instant::now();
    loop {
        let elapsed = start.elapsed();
        let is_over = elapsed >= span;
        while !is_over && every * sent <= start.elapsed() {
            let Some(place) = idle.pop_front() else { break };
            let client = &mut clients[place];
            client.due = Some(start + every * sent);
            client.stream.write_all(&requests[sent as usize % requests.len()])?;
            sent += 1;
        }
        if is_over && (idle.len() == connections || elapsed >= span + PATIENCE) {
            break;
        }
        poll.poll(&mut events, Some(Duration::ZERO))?;
        for event in &events {
            let client = &mut clients[event.token().0];
            loop {
                match client.stream.read(&mut buffer) {
                    Ok(0) => panic!("a connection was closed"),
                    Ok(count) => client.received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if let Some((is_good, is_hit)) = whole(&client.received)
                && let Some(due) = client.due.take()
            {
                times_us.push(due.elapsed().as_secs_f64() * 1e6);
                failed += u32::from(!is_good);
                hits += u32::from(is_hit);
                client.received.clear();
                idle.push_back(event.token().0);
            }
        }
    }
    times_us.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (times_us.len() as f64 * share) as usize;
        times_us.get(place.min(times_us.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    println!(
        "{{\"requests\":{},\"unanswered\":{},\"failed\":{failed},\"hits\":{hits},\
         \"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"max_us\":{:.1}}}",
        times_us.len(),
        connections - idle.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
    Ok(())
}

fn read_requests(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', file) {
        let length: usize =
            String::from_utf8_lossy(&file[..end]).trim().parse().expect("a request's length");
        requests.push(file[end + 1..end + 1 + length].to_vec());
        file = &file[end + 1 + length..];
    }
    assert!(!requests.is_empty(), "no requests");
    requests
}

/// Whether an answer is whole, and then whether it is a success, and whether csu-edge calls it a hit.
fn whole(answer: &[u8]) -> Option<(bool, bool)> {
    let head = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let is_success = text.starts_with("http/1.1 2") || text.starts_with("http/1.1 304");
    let length = match text.split("content-length:").nth(1) {
        Some(rest) if !text.starts_with("http/1.1 304") => {
            rest.lines().next()?.trim().parse::<usize>().ok()?
        }
        _ => 0,
    };
    (answer.len() >= head + 4 + length).then(|| (is_success, text.contains("csu-edge; hit")))
}
