ALTER TABLE "quarantines" DROP CONSTRAINT "quarantines_host_hosts_host_fk";
