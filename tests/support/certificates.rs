//! Certificates for tests, made by openssl: an authority, and what it signs. Files lie in one folder, in PEM form.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::server::run_checked;

/// What a key is: small and quickly made.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority of its own: `ca.crt` and `ca.key` in its folder.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes one in a folder that is there.
    pub(crate) fn new(folder: &Path) -> Authority {
        let authority = Authority { folder: folder.to_owned() };
        let own = ["req", "-x509", "-days", "30", "-subj", "/CN=pgstream tests"];
        authority.openssl(&[&own[..], &["-keyout", "ca.key", "-out", "ca.crt"], &KEY[..]].concat());
        authority
    }

    /// Makes `<name>.crt` and `<name>.key` for `CN=<name>`, which is also known by `names`: `DNS:localhost,IP:127.0.0.1`.
    pub(crate) fn issue(&self, name: &str, names: &str) {
        let file = |ending: &str| format!("{name}.{ending}");
        let (certificate, key, request, extension) = (file("crt"), file("key"), file("csr"), file("ext"));
        fs::write(self.folder.join(&extension), format!("subjectAltName={names}\n"))
            .expect("write the certificate's names");
        let subject = format!("/CN={name}");
        let ask = ["req", "-subj", &subject, "-keyout", &key, "-out", &request];
        self.openssl(&[&ask[..], &KEY[..]].concat());
        let by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", &extension];
        let sign = ["x509", "-req", "-days", "30", "-in", &request, "-out", &certificate];
        self.openssl(&[&sign[..], &by[..]].concat());
    }

    fn openssl(&self, args: &[&str]) {
        run_checked(Command::new("openssl").args(args).current_dir(&self.folder).stdin(Stdio::null()));
    }
}
