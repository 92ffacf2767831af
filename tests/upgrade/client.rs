//! A client that hides nothing: what fails once has failed. And an origin for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Far past what any step takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the origin answers.
pub(crate) const BODY: &str = "{\"value\":\"0123456789012345678901234567890123456789\"}";

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    /// Whether no other request may follow on its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.head.contains("connection: close\r\n")
    }
}

/// A connection of HTTP/1.1.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn get(&mut self, target: &str) -> io::Result<Got> {
        self.send(&format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"))?;
        self.receive()
    }

    pub(crate) fn post(&mut self, target: &str, body: &str) -> io::Result<Got> {
        let length = body.len();
        self.send(&format!(
            "POST {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))?;
        self.receive()
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    pub(crate) fn receive(&mut self) -> io::Result<Got> {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let from = head.len();
            if self.0.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(text) = head[from..].strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok(Got { status, head, body: String::from_utf8(body).unwrap() })
    }

    /// Whether the other side has closed in order.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap() == 0
    }
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> io::Result<Got> {
    Connection::open(address)?.get(target)
}

pub(crate) fn post(address: SocketAddr, target: &str, body: &str) -> io::Result<Got> {
    Connection::open(address)?.post(target, body)
}

/// Answers everything, at once, but what is asked below `/Commerce/held` until it is released.
pub(crate) struct Origin {
    address: SocketAddr,
    held: Arc<Held>,
}

#[derive(Default)]
struct Held {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, held) = (listener.local_addr().unwrap(), Arc::new(Held::default()));
        let for_all = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let held = Arc::clone(&for_all);
                thread::spawn(move || answer(stream, &held));
            }
        });
        Self { address, held }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a request is held.
    pub(crate) fn holds_one(&self) {
        let state = self.held.state.lock().unwrap();
        let wait = self.held.changed.wait_timeout_while(state, PATIENCE, |state| state.0 == 0);
        assert!(!wait.unwrap().1.timed_out());
    }

    pub(crate) fn release(&self) {
        self.held.state.lock().unwrap().1 = true;
        self.held.changed.notify_all();
    }
}

fn answer(stream: TcpStream, held: &Held) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        if head.starts_with("GET /Commerce/held") {
            let mut state = held.state.lock().unwrap();
            state.0 += 1;
            held.changed.notify_all();
            drop(held.changed.wait_while(state, |state| !state.1).unwrap());
        }
        let length = BODY.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{BODY}"
        );
        reader.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}
