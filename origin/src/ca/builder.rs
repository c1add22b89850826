//! A private key as x509-cert's builders want it.

use der::asn1::BitString;
use rsa::signature::{self, Keypair, Signer};
use x509_cert::spki::{
    AlgorithmIdentifierOwned, Document, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SignatureBitStringEncoding,
};

use super::key::{KeyError, PrivateKey};

/// A signature as X.509 carries it.
pub(crate) struct Signature(Vec<u8>);

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}

/// A public key for x509-cert's builders.
#[derive(Clone)]
pub(crate) struct PublicKey(Document);

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> x509_cert::spki::Result<Document> {
        Ok(self.0.clone())
    }
}

/// A key whose public half and algorithm are known to be encodable, for x509-cert's builders.
pub(crate) struct BuilderKey<'a> {
    key: &'a PrivateKey,
    public: PublicKey,
}

impl<'a> BuilderKey<'a> {
    pub(crate) fn new(key: &'a PrivateKey) -> Result<Self, KeyError> {
        let public = Document::encode_msg(&key.public_key()?)
            .map_err(|error| KeyError::Encode(error.to_string()))?;
        Ok(Self {
            key,
            public: PublicKey(public),
        })
    }
}

impl Keypair for BuilderKey<'_> {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl Signer<Signature> for BuilderKey<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        self.key
            .sign(&[message])
            .map(Signature)
            .map_err(signature::Error::from_source)
    }
}

impl DynSignatureAlgorithmIdentifier for BuilderKey<'_> {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<AlgorithmIdentifierOwned> {
        self.key
            .algorithm()
            .map_err(|_| x509_cert::spki::Error::KeyMalformed)
    }
}
