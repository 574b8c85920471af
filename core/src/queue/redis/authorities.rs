//! Which certificate authorities Redis is believed by, where not by Mozilla's.

use std::{fs, path::Path};

use redis::TlsCertificates;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::super::QueueError;

/// # Errors
/// When the file is no PEM file of certificate authorities.
pub(super) fn read(path: &Path) -> Result<TlsCertificates, QueueError> {
    let refused = |why: String| QueueError::Authorities { path: path.to_owned(), why };
    let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("no certificate is in it".to_owned()));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}
