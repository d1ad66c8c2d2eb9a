//! The end of listening: whoever was let in is answered, whoever comes later is refused, and nobody is in between.
//!
//! A client counts as connected once the kernel has queued it, before the server takes it. Closing a socket resets what
//! stands in its queue, so nobody may stand there when it is closed. Linux is told to let nobody in any more, by a filter
//! for the first packet of a connection, while those who were let in are taken and answered as ever. Where that cannot be
//! told, those who come last are asked to come again.
use std::{
    io,
    net::{self, TcpListener},
    time::Duration,
};

use actix_web::{
    http::{StatusCode, header},
    rt,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::problem::Problem;

/// How long the server has for taking those who were let in. Who needs longer for the last step of connecting is reset.
const TAKING: Duration = Duration::from_millis(500);
/// How long one who is asked to come again may take for the request, and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of a request to which the answer is known already.
const MOST: usize = 1 << 20;

/// Those who stand in the queue of a socket that is about to be closed.
#[derive(Debug)]
pub struct LastOnes(TcpListener);

impl LastOnes {
    /// Of the socket of a listener, which stays open for as long as this does.
    ///
    /// # Errors
    /// Where the system has no more descriptors.
    pub fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Self)
    }

    /// Lets nobody in any more, gives the server the time to take those who stand in the queue, and asks those who still
    /// stand there to come again. The answers of these go on when this returns; what is given back ends with them.
    pub async fn close(self) -> rt::task::JoinHandle<()> {
        if let Err(error) = self.shut() {
            tracing::debug!("the system cannot be told to let nobody in: {error}");
        }
        sleep(TAKING).await;
        let mut answers = Vec::new();
        loop {
            match self.0.accept() {
                Ok((stream, _)) => answers.push(rt::spawn(ask_to_come_again(stream))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("those who came last cannot be answered: {error}");
                    break;
                }
            }
        }
        drop(self);
        rt::spawn(async move {
            for answer in answers {
                drop(answer.await);
            }
        })
    }

    /// Has the kernel drop whatever would begin a connection. Those that have begun are not touched.
    #[cfg(target_os = "linux")]
    fn shut(&self) -> io::Result<()> {
        use socket2::SockFilter;
        // Classic BPF over the TCP header: drop it where SYN is set, keep it otherwise.
        const LOAD_BYTE: u16 = 0x30;
        const JUMP_IF_SET: u16 = 0x45;
        const RETURN: u16 = 0x06;
        const FLAGS: u32 = 13;
        const SYN: u32 = 0x02;
        SockRef::from(&self.0).attach_filter(&[
            SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
            SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ])
    }

    /// The queue is made as short as can be.
    #[cfg(not(target_os = "linux"))]
    fn shut(&self) -> io::Result<()> {
        SockRef::from(&self.0).listen(0)
    }
}

/// Reads the request and asks the client to come again. What was not read would have the kernel reset the connection, and
/// the answer with it.
async fn ask_to_come_again(stream: net::TcpStream) {
    let answered = timeout(PATIENCE, async {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream)?;
        if read(&mut stream, |text| text.windows(4).any(|four| four == b"\r\n\r\n")).await? {
            stream.write_all(&answer()).await?;
        }
        stream.shutdown().await?;
        // Until the client has closed, or says no more.
        timeout(PATIENCE / 2, read(&mut stream, |_| false)).await.map(drop).or(Ok::<_, io::Error>(()))
    });
    if let Ok(Err(error)) = answered.await {
        tracing::debug!("one who came last was not answered: {error}");
    }
}

/// Reads until something is there, the client says no more, or has said too much. Tells whether it said anything.
async fn read(stream: &mut TcpStream, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<bool> {
    let mut text = Vec::new();
    while !is_enough(&text) && text.len() < MOST {
        if stream.read_buf(&mut text).await? == 0 {
            break;
        }
    }
    Ok(!text.is_empty())
}

/// 503, in the form of all problems.
fn answer() -> Vec<u8> {
    let id = crm_core::Id::<LastOnes>::new().to_string();
    let detail = "This process is about to stop. Another one answers, or this one once it is up again.";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail, &id);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\n{}: application/problem+json\r\n{}: {}\r\n{}: 2\r\n{}: no-store\r\n\
         x-request-id: {id}\r\n{}: close\r\n\r\n",
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        body.len(),
        header::RETRY_AFTER,
        header::CACHE_CONTROL,
        header::CONNECTION,
    );
    [head.as_bytes(), &body].concat()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::SocketAddr,
    };

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Closes a socket that no server takes anybody from.
    fn close(listener: TcpListener) {
        let last_ones = LastOnes::of(&listener).unwrap();
        rt::System::new().block_on(async move {
            let answers = last_ones.close().await;
            drop(listener);
            answers.await.unwrap();
        });
    }

    #[test]
    fn those_who_stand_in_the_queue_are_asked_to_come_again() {
        let (listener, address) = listener();
        // More than the kernel reads ahead of the answer, so that an early end would be a reset.
        let bodies = [0, 10, 300_000];
        let clients: Vec<_> = bodies
            .iter()
            .map(|length| {
                let mut stream = net::TcpStream::connect(address).unwrap();
                let length = *length;
                std::thread::spawn(move || {
                    write!(stream, "POST /api/leads HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").unwrap();
                    stream.write_all(&vec![b'x'; length]).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).map(|_| answer)
                })
            })
            .collect();
        close(listener);
        for client in clients {
            let answer = client.join().unwrap().unwrap();
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 2\r\n"), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!((&problem["code"], &problem["status"]), (&"stopping".into(), &503.into()));
        }
        let refused = net::TcpStream::connect_timeout(&address, Duration::from_secs(2)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nobody_is_let_in_any_more_and_whoever_is_in_is_heard() {
        let (listener, address) = listener();
        let mut early = net::TcpStream::connect(address).unwrap();
        LastOnes::of(&listener).unwrap().shut().unwrap();
        let late = net::TcpStream::connect_timeout(&address, Duration::from_millis(300));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (mut taken, _) = listener.accept().unwrap();
        taken.set_nonblocking(false).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut heard = [0; 5];
        early.write_all(b"hello").unwrap();
        taken.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn one_who_says_nothing_keeps_nobody_from_ending() {
        let (listener, address) = listener();
        let mut silent = net::TcpStream::connect(address).unwrap();
        close(listener);
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0, "nobody has asked for anything");
    }
}
