//! Files and directories.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use linstor_host::{FileId, FileUsage};

use super::content::Blocks;

/// Prefixes of paths whose content is lost on reboot.
const VOLATILE: &[&str] = &["/run/", "/sys/", "/proc/", "/dev/"];

/// The one file system of the machine is on this device.
pub(crate) const FS_MAJOR: u64 = 8;
pub(crate) const FS_MINOR: u64 = 0;
/// Unit of allocation.
const FS_BLOCK_BYTES: u64 = 4096;

/// The files of a machine. Files written through [`linstor_host::Host`] are durable immediately; those of the kernel
/// are lost in a crash.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: BTreeMap<String, File>,
    dirs: BTreeSet<String>,
    /// Symbolic links to directories: link to target.
    pub(crate) links: BTreeMap<String, String>,
    inodes: u64,
    /// Sizes of file systems for images, by mount point.
    pub(crate) mounts: BTreeMap<String, u64>,
    /// Mount points of file systems whose files cannot share blocks.
    pub(crate) without_reflinks: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum File {
    Text { content: Vec<u8>, mode: u32 },
    Image(Image),
}

/// A large, sparse file: the backing file of a loop device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    pub(crate) size_bytes: u64,
    /// Assigned by [`Files::put_image`]; a file that is removed and created again has another one.
    pub(crate) inode: u64,
    /// Created by `fallocate`: its whole size is allocated.
    pub(crate) allocated: bool,
    pub(crate) blocks: Blocks,
    /// The same number in files that may share blocks: the inode of the first of them; 0 if there is no other.
    pub(crate) family: u64,
}

impl Image {
    /// Allocated space.
    pub(crate) fn used_bytes(&self) -> u64 {
        if self.allocated {
            self.size_bytes
        } else {
            self.blocks.len() as u64 * FS_BLOCK_BYTES
        }
    }
}

impl Files {
    pub(crate) fn crash(&mut self) {
        self.files
            .retain(|path, _| !VOLATILE.iter().any(|prefix| path.starts_with(prefix)));
        self.dirs
            .retain(|path| !VOLATILE.iter().any(|prefix| path.starts_with(prefix)));
    }

    /// The path without symbolic links.
    pub(crate) fn real(&self, path: &str) -> String {
        let below = |link: &str| {
            let rest = path.strip_prefix(link)?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        let mut links = self.links.iter();
        let found = links.find_map(|(link, target)| Some((target, below(link)?)));
        found.map_or_else(
            || path.to_owned(),
            |(target, rest)| format!("{target}{rest}"),
        )
    }

    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let path = &self.real(path);
        match self.files.get(path) {
            Some(File::Text { content, .. }) => Ok(content.clone()),
            Some(File::Image(_)) => Err(io::Error::other("an image is not read as a whole")),
            None if self.is_dir(path) => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    pub(crate) fn usage(&self, path: &str) -> Option<FileUsage> {
        let (inode, size_bytes, allocated_bytes) = match self.files.get(&self.real(path))? {
            File::Image(image) => (image.inode, image.size_bytes, image.used_bytes()),
            File::Text { content, .. } => {
                let size = content.len() as u64;
                (0, size, size.next_multiple_of(FS_BLOCK_BYTES))
            }
        };
        Some(FileUsage {
            id: FileId {
                major: FS_MAJOR,
                minor: FS_MINOR,
                inode,
            },
            size_bytes,
            allocated_bytes,
        })
    }

    pub(crate) fn write(&mut self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let path = &self.real(path);
        if !self.is_dir(parent(path)) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        self.files.insert(
            path.clone(),
            File::Text {
                content: content.to_vec(),
                mode,
            },
        );
        Ok(())
    }

    pub(crate) fn write_in_place(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        match self.files.get_mut(path) {
            Some(File::Text { content: old, .. }) => {
                *old = content.to_vec();
                Ok(())
            }
            Some(File::Image(_)) | None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.files.remove(&self.real(from));
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        self.files.insert(self.real(to), file);
        Ok(())
    }

    /// Copies a file; an image shares its blocks with the copy if `shared`.
    pub(crate) fn copy(&mut self, from: &str, to: &str, shared: bool) -> io::Result<()> {
        let (from, to) = (self.real(from), self.real(to));
        if !self.is_dir(parent(&to)) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let source = self.files.get_mut(&from);
        match source.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))? {
            File::Text { content, mode } => {
                let (content, mode) = (content.clone(), *mode);
                self.files.insert(to, File::Text { content, mode });
            }
            File::Image(image) => {
                if shared && image.family == 0 {
                    image.family = image.inode;
                }
                let mut copy = image.clone();
                // What was never written is a hole in the copy.
                copy.allocated = false;
                if !shared {
                    copy.family = 0;
                }
                self.files.remove(&to);
                self.put_image(&to, copy);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &str) -> bool {
        self.files.remove(&self.real(path)).is_some()
    }

    pub(crate) fn create_dir_all(&mut self, path: &str) {
        let mut path = path.trim_end_matches('/');
        while !path.is_empty() {
            self.dirs.insert(path.to_owned());
            path = parent(path);
        }
    }

    pub(crate) fn is_dir(&self, path: &str) -> bool {
        let path = &*self.real(path.trim_end_matches('/'));
        // Directories that exist on every system.
        let given = [
            "",
            "/etc",
            "/var",
            "/var/lib",
            "/run",
            "/tmp",
            "/dev",
            "/etc/drbd.d",
            "/srv",
        ];
        given.contains(&path) || self.dirs.contains(path) || self.mounts.contains_key(path)
    }

    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        if !self.is_dir(path) {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let names: BTreeSet<String> = self
            .files
            .keys()
            .chain(&self.dirs)
            .filter_map(|full| full.strip_prefix(&prefix))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(str::to_owned)
            .collect();
        Ok(names.into_iter().collect())
    }

    /// Paths of all files with this prefix and suffix.
    pub(crate) fn matching(&self, prefix: &str, suffix: &str) -> Vec<String> {
        self.files
            .keys()
            .filter(|path| path.starts_with(prefix) && path.ends_with(suffix))
            .cloned()
            .collect()
    }

    /// All files that can be read as a whole, for comparing machines in tests.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        self.files
            .iter()
            .filter_map(|(path, file)| match file {
                File::Text { content, .. } => {
                    Some((path.clone(), String::from_utf8_lossy(content).into_owned()))
                }
                File::Image(_) => None,
            })
            .collect()
    }

    /// Paths of all images.
    pub(crate) fn images(&self) -> Vec<String> {
        let images = self.files.iter();
        let images = images.filter(|(_, file)| matches!(file, File::Image(_)));
        images.map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn mode(&self, path: &str) -> Option<u32> {
        match self.files.get(&self.real(path))? {
            File::Text { mode, .. } => Some(*mode),
            File::Image(_) => Some(0o600),
        }
    }

    pub(crate) fn has_image(&self, path: &str) -> bool {
        self.image(path).is_some()
    }

    pub(crate) fn image(&self, path: &str) -> Option<&Image> {
        match self.files.get(&self.real(path))? {
            File::Image(image) => Some(image),
            File::Text { .. } => None,
        }
    }

    pub(crate) fn image_mut(&mut self, path: &str) -> Option<&mut Image> {
        match self.files.get_mut(path)? {
            File::Image(image) => Some(image),
            File::Text { .. } => None,
        }
    }

    pub(crate) fn put_image(&mut self, path: &str, mut image: Image) {
        image.inode = match self.image(path) {
            Some(old) => old.inode,
            None => {
                self.inodes += 1;
                self.inodes
            }
        };
        self.files.insert(self.real(path), File::Image(image));
    }

    /// The file system of a path: its mount point, its size, and the space allocated by images.
    pub(crate) fn mount_of(&self, path: &str) -> Option<(&str, u64, u64)> {
        let path = &*self.real(path);
        let under =
            |dir: &str| path == dir || path.starts_with(&format!("{}/", dir.trim_end_matches('/')));
        let (dir, size_kib) = self
            .mounts
            .iter()
            .filter(|(dir, _)| under(dir))
            .max_by_key(|(dir, _)| dir.len())?;
        let below = format!("{dir}/");
        let files = self.files.iter();
        let used: u64 = files
            .filter(|(path, _)| path.starts_with(&below))
            .map(|(path, file)| match file {
                File::Image(image) => (image.used_bytes() - self.shared_bytes(path, image)) / 1024,
                File::Text { content, .. } => (content.len() as u64).div_ceil(4096) * 4,
            })
            .sum();
        Some((dir, *size_kib, used))
    }

    /// The part of an image that one with a lower path has as well.
    fn shared_bytes(&self, path: &str, image: &Image) -> u64 {
        self.shared_blocks(image, |other| other < path).len() as u64 * FS_BLOCK_BYTES
    }

    /// The blocks of an image that one of some others has as well.
    pub(crate) fn shared_blocks(&self, image: &Image, of: impl Fn(&str) -> bool) -> Vec<u64> {
        if image.family == 0 {
            return Vec::new();
        }
        let others = self.files.iter().filter(|(path, _)| of(path));
        let others: Vec<&Image> = others
            .filter_map(|(_, file)| match file {
                File::Image(other) if other.family == image.family => Some(other),
                File::Image(_) | File::Text { .. } => None,
            })
            .collect();
        let has = |number: &u64, block| others.iter().any(|o| o.blocks.get(number) == Some(block));
        let blocks = image.blocks.iter();
        let shared = blocks.filter(|(number, block)| has(number, *block));
        shared.map(|(number, _)| *number).collect()
    }

    /// Whether files of a directory can share blocks.
    pub(crate) fn has_reflinks(&self, path: &str) -> bool {
        self.mount_of(path)
            .is_some_and(|(mount, ..)| !self.without_reflinks.contains(mount))
    }
}

pub(crate) fn parent(path: &str) -> &str {
    path.trim_end_matches('/')
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent)
}
