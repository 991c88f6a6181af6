//! Whose the things at hosted providers are: the same after the process was started anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use egress_providers::hosted::Owner;

/// The file in the state folder.
const FILE: &str = "owner";

/// How many bytes of it are read: more than an owner's name and a line break have.
const LONGEST_FILE_BYTES: u64 = 64;

/// Reads who this node is from its state folder, or writes `made_up` there.
pub(super) fn keep(folder: &Path, made_up: &Owner) -> io::Result<Owner> {
    fs::create_dir_all(folder)?;
    let path = folder.join(FILE);
    match File::open(&path) {
        Ok(file) => read(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write(folder, &path, made_up)?;
            // Another process may have been quicker.
            read(File::open(&path)?)
        }
        Err(error) => Err(error),
    }
}

fn read(file: File) -> io::Result<Owner> {
    let mut text = String::new();
    file.take(LONGEST_FILE_BYTES).read_to_string(&mut text)?;
    Owner::new(text.trim()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes it as a whole or not at all, and leaves alone what is there.
fn write(folder: &Path, path: &Path, owner: &Owner) -> io::Result<()> {
    let whole = folder.join(format!("{FILE}.{}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&whole)?;
    writeln!(file, "{owner}")?;
    file.sync_all()?;
    let linked = match fs::hard_link(&whole, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&whole)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(name).unwrap()
    }

    #[test]
    fn who_was_made_up_once_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");

        assert_eq!(keep(&folder, &owner("one")).unwrap(), owner("one"));
        assert_eq!(keep(&folder, &owner("other")).unwrap(), owner("one"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_no_owner_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "not an owner").unwrap();

        let error = keep(folder.path(), &owner("one")).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(
            fs::read_to_string(folder.path().join(FILE)).unwrap(),
            "not an owner"
        );
    }
}
