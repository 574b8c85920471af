//! A line to a server that a test can cut or silence, and heal again. Knows nothing of what is spoken on it.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// They are forwarded.
    Open,
    /// Those that stand are dropped, new ones are closed as they come.
    Cut,
    /// Those that stand and new ones stay open, and nothing passes; they are dropped when the line changes.
    Silent,
}

/// Forwards connections to one address; it stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    /// Connections that stood before are told by an older number.
    forgotten: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (line, told) = watch::channel(Line::Open);
        let (forgotten, forgets) = watch::channel(0);
        Self { address, line, forgotten, accepting: tokio::spawn(accept(listener, to.to_owned(), told, forgets)) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// On connections that stand now nothing passes any more, and nobody is told, as when a firewall forgets them.
    pub(crate) fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }

    /// From now on, the line is like this.
    pub(crate) fn set(&self, line: Line) {
        self.line.send(line).expect("the proxy listens to its line");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections' set lives in this task and ends with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, to: String, line: watch::Receiver<Line>, forgets: watch::Receiver<u32>) {
    let mut forwarding = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let mut forgets = forgets.clone();
                forgets.mark_unchanged();
                forwarding.spawn(forward(stream, to.clone(), line.clone(), forgets));
            }
            Some(_) = forwarding.join_next() => {}
        }
    }
}

/// Forwards while the line is open. The streams close as they are dropped at the end.
async fn forward(
    mut inward: TcpStream,
    to: String,
    mut line: watch::Receiver<Line>,
    mut forgets: watch::Receiver<u32>,
) {
    let mut outward = None;
    if *line.borrow() == Line::Open {
        let Ok(mut stream) = TcpStream::connect(&to).await else { return };
        let forgotten = tokio::select! {
            _ = copy_bidirectional(&mut inward, &mut stream) => return,
            _ = line.wait_for(|line| *line != Line::Open) => false,
            Ok(()) = forgets.changed() => true,
        };
        if forgotten {
            std::future::pending::<()>().await;
        }
        outward = Some(stream);
    }
    drop(line.wait_for(|line| *line != Line::Silent).await);
    drop(outward);
}
