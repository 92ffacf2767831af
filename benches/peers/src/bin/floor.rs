//! The floor: the least that a server on this kernel can cost for one request.
//!
//! One thread waits with epoll, reads, and writes one of a number of answers that were made before,
//! chosen by the first number in brackets of the request's target; of HTTP it knows the end of a head
//! and the length of a body. It is the origin of the peers too, so that all of them keep the same:
//! `floor ADDRESS BODY_BYTES OBJECTS`, to stop with a signal.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

/// A connection, and how many bytes of its request have come.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

fn main() -> std::io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address: SocketAddr = arguments.next().unwrap_or_default().parse().expect("ADDRESS");
    let body_bytes: usize = arguments.next().unwrap_or_default().parse().expect("BODY_BYTES");
    let objects: usize = arguments.next().unwrap_or_default().parse().expect("OBJECTS");
    let answers: Vec<_> = (0..objects).map(|number| answer(number, body_bytes)).collect();
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{{\"listening\":\"{}\"}}", listener.local_addr()?);
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let place = clients.iter().position(Option::is_none).unwrap_or(clients.len());
                    let token = Token(place);
                    poll.registry().register(&mut stream, token, Interest::READABLE)?;
                    let client = Some(Client { stream, received: Vec::new() });
                    if place == clients.len() {
                        clients.push(client)
                    } else {
                        clients[place] = client
                    }
                }
                continue;
            }
            let place = event.token().0;
            let Some(client) = &mut clients[place] else { continue };
            if serve(client, &mut buffer, &answers).is_err() {
                clients[place] = None;
            }
        }
    }
}

/// Answers what has come. An error where the connection is at its end.
fn serve(client: &mut Client, buffer: &mut [u8], answers: &[Vec<u8>]) -> std::io::Result<()> {
    let count = match client.stream.read(buffer) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    // A request mostly comes in one piece, and is not copied then.
    let whole = if client.received.is_empty() {
        is_whole(&buffer[..count])
    } else {
        client.received.extend_from_slice(&buffer[..count]);
        is_whole(&client.received)
    };
    let number = if client.received.is_empty() {
        number(&buffer[..count])
    } else {
        number(&client.received)
    };
    if !whole {
        if client.received.is_empty() {
            client.received.extend_from_slice(&buffer[..count]);
        }
        return Ok(());
    }
    client.received.clear();
    // What a client does not take at once is more than is measured here.
    client.stream.write_all(&answers[number % answers.len()])
}

/// The first number in brackets, or 0.
fn number(request: &[u8]) -> usize {
    let Some(at) = memchr::memchr(b'(', request) else { return 0 };
    let digits = request[at + 1..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

fn is_whole(request: &[u8]) -> bool {
    let Some(head) = memchr::memmem::find(request, b"\r\n\r\n") else {
        return false;
    };
    let is_post = request.starts_with(b"POST");
    let length = is_post.then(|| {
        let head = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let field = head.split("content-length:").nth(1)?;
        field.lines().next()?.trim().parse::<usize>().ok()
    });
    request.len() >= head + 4 + length.flatten().unwrap_or(0)
}

/// What a Retail Server says beside such an answer, and a day of freshness for caches that go by it.
fn answer(number: usize, body_bytes: usize) -> Vec<u8> {
    let mut body = format!(r#"{{"RecordId":{number},"value":[{{"Text":""#);
    while body.len() + 4 < body_bytes {
        body.push(char::from(b'a' + (body.len() * 7 + number) as u8 % 26));
    }
    body.push_str("\"}]}");
    format!(
        "HTTP/1.1 200 OK\r\n\
         content-type: application/json; odata.metadata=minimal\r\n\
         cache-control: public, max-age=86400\r\n\
         odata-version: 4.0\r\n\
         date: {}\r\n\
         content-length: {}\r\n\r\n{body}",
        httpdate::fmt_http_date(std::time::SystemTime::now()),
        body.len(),
    )
    .into_bytes()
}
