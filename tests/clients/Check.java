// Java's own PKIX validator, which fetches the CRL from the certificate's distribution point:
// java Check.java ISSUER.pem CERTIFICATE.pem
// Prints `good` or `revoked`; any other answer is an exception.

import java.io.FileInputStream;
import java.io.InputStream;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateRevokedException;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Set;

public class Check {
    public static void main(String[] files) throws Exception {
        System.setProperty("com.sun.security.enableCRLDP", "true");
        var issuer = new TrustAnchor(certificate(files[0]), null);
        var path = CertificateFactory.getInstance("X.509").generateCertPath(List.of(certificate(files[1])));
        var parameters = new PKIXParameters(Set.of(issuer));
        parameters.setRevocationEnabled(true);
        try {
            CertPathValidator.getInstance("PKIX").validate(path, parameters);
            System.out.println("good");
        } catch (CertPathValidatorException refused) {
            if (!(refused.getCause() instanceof CertificateRevokedException)) {
                throw refused;
            }
            System.out.println("revoked");
        }
    }

    private static X509Certificate certificate(String file) throws Exception {
        try (InputStream input = new FileInputStream(file)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(input);
        }
    }
}
