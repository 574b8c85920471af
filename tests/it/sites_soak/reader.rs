//! Readers that go on all the while: by HTTP as search engines do, and in the folder as another web server does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    model::LOCALES,
    public::{Public, entries, parses, text_of},
};

const INDEX: &str = "sitemap.xml";
const BESIDE: [&str; 4] = ["sitemap-news.xml", "feed.xml", "atom.xml", "feed.json"];
/// Between two files, so that readers leave a core to what is tested.
const BREATH: Duration = Duration::from_millis(2);

/// A reader on its way. Where it meets what must not be it panics, which [`Self::end`] passes on.
pub(super) struct Reader {
    enough: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Read>,
}

/// What a reader has read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    rounds: usize,
    files: usize,
    /// Rounds that ended as the server was away.
    cut: usize,
}

impl Reader {
    pub(super) async fn end(self) -> Read {
        self.enough.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// As search engines read.
pub(super) fn by_http(public: &Public) -> Reader {
    let (enough, public) = (Arc::<AtomicBool>::default(), public.clone());
    let until = Arc::clone(&enough);
    let task = tokio::spawn(async move {
        let mut read = Read::default();
        while !until.load(Ordering::SeqCst) {
            for tag in LOCALES {
                match read_all(&public, tag).await {
                    Ok(files) => read.files += files,
                    Err(_away) => {
                        read.cut += 1;
                        tokio::time::sleep(10 * BREATH).await;
                    }
                }
            }
            read.rounds += 1;
        }
        read
    });
    Reader { enough, task }
}

/// The index, all that it names, and what stands beside it.
async fn read_all(public: &Public, tag: &str) -> reqwest::Result<usize> {
    let of_base = |name: &str| format!("{}/{name}", public.base(tag));
    let index = get(public, &of_base(INDEX)).await?;
    let named: Vec<String> = entries(&index).into_keys().collect();
    assert!(!named.is_empty(), "the index of {tag} is empty");
    for url in named.iter().cloned().chain(BESIDE.map(of_base)) {
        parses(&url, &get(public, &url).await?);
        tokio::time::sleep(BREATH).await;
    }
    Ok(1 + named.len() + BESIDE.len())
}

async fn get(public: &Public, url: &str) -> reqwest::Result<String> {
    let (status, bytes) = public.read(url).await?;
    assert_eq!(status, 200, "{url}: {}", String::from_utf8_lossy(&bytes));
    Ok(text_of(url, &bytes))
}

/// As a web server that has nothing but the folder.
pub(super) fn on_disk(public: &Public, folder: PathBuf) -> Reader {
    let (enough, public) = (Arc::<AtomicBool>::default(), public.clone());
    let until = Arc::clone(&enough);
    let task = tokio::task::spawn_blocking(move || {
        let mut read = Read::default();
        while !until.load(Ordering::SeqCst) {
            for tag in LOCALES {
                read.files += read_folder(&folder.join(tag), public.base(tag));
            }
            read.rounds += 1;
        }
        read
    });
    Reader { enough, task }
}

fn read_folder(folder: &Path, base: &str) -> usize {
    let mut files = 0;
    for index in [INDEX.to_owned(), format!("{INDEX}.gz")] {
        for url in entries(&open(folder, &index)).into_keys() {
            let name = url.strip_prefix(base).and_then(|name| name.strip_prefix('/'));
            let name = name.unwrap_or_else(|| panic!("{url} is not below {base}"));
            parses(&url, &open(folder, name));
            std::thread::sleep(BREATH);
            files += 1;
        }
    }
    for name in BESIDE {
        parses(name, &open(folder, name));
    }
    files + 2 + BESIDE.len()
}

fn open(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    text_of(name, &fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
